import type { FastifyInstance } from 'fastify';
import { parseSize } from '../../core/units.js';
import { answers, BODY, made, NO_CONTENT, PARAMS, QUERY } from '../schemas.js';
import type {
  VolumeAccessBody,
  VolumeAttachBody,
  VolumeCreateBody,
  VolumeDetachBody,
  VolumeExpandBody,
  VolumeLabelsBody,
  VolumePublishBody,
  VolumeUnpublishBody,
} from '../types.js';
import type { RouteDeps } from './deps.js';
import { bodies, body } from './volume-bodies.js';

type Params = { Params: { name: string } };
type Secrets = { Querystring: { secrets?: '1' } };

export function volumeRoutes(app: FastifyInstance, deps: RouteDeps): void {
  readRoutes(app, deps);
  lifeRoutes(app, deps);
  attachRoutes(app, deps);
  accessRoutes(app, deps);
  labelRoutes(app, deps);
  publicationRoutes(app, deps);
}

function readRoutes(app: FastifyInstance, deps: RouteDeps): void {
  const { volumes } = deps;

  app.get<Secrets>(
    '/v1/volumes',
    {
      schema: {
        summary: 'List volumes',
        querystring: QUERY.secrets,
        response: answers(200, 'VolumeList'),
      },
    },
    async (request) => ({
      items: await bodies(deps, await volumes.list(), request.query.secrets === '1'),
    }),
  );

  app.get<Params & Secrets>(
    '/v1/volumes/:name',
    {
      schema: {
        summary: 'One volume, with its replica and exports',
        params: PARAMS.volume,
        querystring: QUERY.secrets,
        response: answers(200, 'Volume'),
      },
    },
    async (request) => {
      const volume = await volumes.get(request.params.name);
      await volumes.refresh(volume);
      return body(deps, volume, request.query.secrets === '1');
    },
  );
}

function lifeRoutes(app: FastifyInstance, deps: RouteDeps): void {
  const { volumes } = deps;

  app.post<{ Body: VolumeCreateBody }>(
    '/v1/volumes',
    {
      schema: {
        summary: 'Create a volume, blank or as a copy; 202 while the copy goes on',
        querystring: QUERY.none,
        body: BODY('VolumeCreate'),
        response: made('Volume'),
      },
    },
    async (request, reply) => {
      const { size, ...rest } = request.body;
      const volume = await volumes.create({ ...rest, sizeBytes: parseSize(size) });
      return reply.status(volume.state === 'creating' ? 202 : 201).send(await body(deps, volume));
    },
  );

  app.delete<Params & { Querystring: { withSnapshots?: 'refuse' } }>(
    '/v1/volumes/:name',
    {
      schema: {
        summary: 'Delete a detached volume with its snapshots; ends the copy that makes it',
        params: PARAMS.volume,
        querystring: QUERY.withSnapshots,
        response: NO_CONTENT,
      },
    },
    async (request, reply) => {
      await volumes.delete(request.params.name, request.query.withSnapshots);
      return reply.status(204).send();
    },
  );

  app.post<Params & { Body: VolumeExpandBody }>(
    '/v1/volumes/:name/expand',
    {
      schema: {
        summary: 'Make a volume larger, attached or not',
        params: PARAMS.volume,
        querystring: QUERY.none,
        body: BODY('VolumeExpand'),
        response: answers(200, 'Volume'),
      },
    },
    async (request) =>
      body(deps, await volumes.expand(request.params.name, parseSize(request.body.size))),
  );
}

function labelRoutes(app: FastifyInstance, deps: RouteDeps): void {
  app.post<Params & { Body: VolumeLabelsBody }>(
    '/v1/volumes/:name/labels',
    {
      schema: {
        summary: 'Change labels; null removes, others stay',
        params: PARAMS.volume,
        querystring: QUERY.none,
        body: BODY('VolumeLabels'),
        response: answers(200, 'Volume'),
      },
    },
    async (request) =>
      body(deps, await deps.volumes.setLabels(request.params.name, request.body.labels)),
  );
}

function publicationRoutes(app: FastifyInstance, deps: RouteDeps): void {
  const { publications } = deps;

  app.post<Params & { Body: VolumePublishBody }>(
    '/v1/volumes/:name/publish',
    {
      schema: {
        summary: 'Let a node use a volume: attaches it with a device there',
        params: PARAMS.volume,
        querystring: QUERY.none,
        body: BODY('VolumePublish'),
        response: answers(200, 'Volume'),
      },
    },
    async (request) => body(deps, await publications.publish(request.params.name, request.body)),
  );

  app.post<Params & { Body: VolumeUnpublishBody | null }>(
    '/v1/volumes/:name/unpublish',
    {
      schema: {
        summary: 'Take a volume from a node, or from all; the last one detaches it',
        params: PARAMS.volume,
        querystring: QUERY.none,
        body: BODY('VolumeUnpublish'),
        response: answers(200, 'Volume'),
      },
    },
    async (request) =>
      body(deps, await publications.unpublish(request.params.name, request.body?.node)),
  );
}

function accessRoutes(app: FastifyInstance, deps: RouteDeps): void {
  app.post<Params & { Body: VolumeAccessBody }>(
    '/v1/volumes/:name/access',
    {
      schema: {
        summary: 'Change who may log in over iSCSI; open sessions stay',
        params: PARAMS.volume,
        querystring: QUERY.none,
        body: BODY('VolumeAccess'),
        response: answers(200, 'Volume'),
      },
    },
    async (request) => body(deps, await deps.volumes.setAccess(request.params.name, request.body)),
  );
}

function attachRoutes(app: FastifyInstance, deps: RouteDeps): void {
  const { volumes } = deps;

  app.post<Params & { Body: VolumeAttachBody | null }>(
    '/v1/volumes/:name/attach',
    {
      schema: {
        summary:
          'Attach a volume, as a device of this machine if asked for; answers when it is attached',
        params: PARAMS.volume,
        querystring: QUERY.none,
        body: BODY('VolumeAttach'),
        response: answers(200, 'Volume'),
      },
    },
    async (request) => body(deps, await volumes.attach(request.params.name, request.body ?? {})),
  );

  app.post<Params & { Body: VolumeDetachBody | null }>(
    '/v1/volumes/:name/detach',
    {
      schema: {
        summary: 'Detach a volume; refused while it is mounted or sessions are open unless forced',
        params: PARAMS.volume,
        querystring: QUERY.none,
        body: BODY('VolumeDetach'),
        response: answers(200, 'Volume'),
      },
    },
    async (request) => body(deps, await volumes.detach(request.params.name, request.body?.force)),
  );
}
