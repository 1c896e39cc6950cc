import type { FastifyInstance } from 'fastify';
import { parseSize } from '../../core/units.js';
import { answers, BODY, NO_CONTENT, PARAMS, QUERY } from '../schemas.js';
import type {
  VolumeAccessBody,
  VolumeAttachBody,
  VolumeCreateBody,
  VolumeDetachBody,
  VolumeExpandBody,
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
        summary: 'Create a volume',
        querystring: QUERY.none,
        body: BODY('VolumeCreate'),
        response: answers(201, 'Volume'),
      },
    },
    async (request, reply) => {
      const { size, ...rest } = request.body;
      const volume = await volumes.create({ ...rest, sizeBytes: parseSize(size) });
      return reply.status(201).send(await body(deps, volume));
    },
  );

  app.delete<Params>(
    '/v1/volumes/:name',
    {
      schema: {
        summary: 'Delete a detached volume with its snapshots',
        params: PARAMS.volume,
        querystring: QUERY.none,
        response: NO_CONTENT,
      },
    },
    async (request, reply) => {
      await volumes.delete(request.params.name);
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
