import type { FastifyInstance } from 'fastify';
import type { StagedUsage } from '../../volume/ports.js';
import { answers, BODY, NO_CONTENT, PARAMS, QUERY } from '../schemas.js';
import type {
  GrownBody,
  StagedBody,
  UsageBody,
  VolumeBindBody,
  VolumeGrowBody,
  VolumeStageBody,
  VolumeUnbindBody,
  VolumeUnstageBody,
} from '../types.js';
import type { RouteDeps } from './deps.js';

type Params = { Params: { name: string } };

const DEFAULT_FILE_SYSTEM = 'ext4';
const COMMON = { params: PARAMS.volume, querystring: QUERY.none } as const;

export function stagingRoutes(app: FastifyInstance, { staging }: RouteDeps): void {
  app.post<Params & { Body: VolumeStageBody }>(
    '/v1/volumes/:name/stage',
    {
      schema: {
        ...COMMON,
        summary: 'Prepare an attached volume for users: format, decrypt, check and mount it',
        body: BODY('VolumeStage'),
        response: answers(200, 'Staged'),
      },
    },
    async (request): Promise<StagedBody> => {
      const { path, kind, fileSystem, formatOptions, mountOptions, readOnly, encryption } =
        request.body;
      const device = await staging.stage(request.params.name, {
        path,
        kind,
        fileSystem: fileSystem ?? DEFAULT_FILE_SYSTEM,
        formatOptions: formatOptions ?? [],
        mountOptions: mountOptions ?? [],
        readOnly: readOnly ?? false,
        encryption: encryption ?? null,
      });
      return { device };
    },
  );

  app.post<Params & { Body: VolumeUnstageBody }>(
    '/v1/volumes/:name/unstage',
    {
      schema: {
        ...COMMON,
        summary: 'Take back what stage has done at a path; the volume stays attached',
        body: BODY('VolumeUnstage'),
        response: NO_CONTENT,
      },
    },
    async (request, reply) => {
      await staging.unstage(request.params.name, request.body.path);
      return reply.status(204).send();
    },
  );

  app.get<Params & { Querystring: { path: string } }>(
    '/v1/volumes/:name/usage',
    {
      schema: {
        ...COMMON,
        summary: 'How full a volume is where it is staged or bound, and whether it is sound there',
        querystring: QUERY.path,
        response: answers(200, 'Usage'),
      },
    },
    async (request): Promise<UsageBody> =>
      usageBody(await staging.usage(request.params.name, request.query.path)),
  );

  app.post<Params & { Body: VolumeGrowBody }>(
    '/v1/volumes/:name/grow',
    {
      schema: {
        ...COMMON,
        summary: 'Make device, mapping and file system as large as the volume',
        body: BODY('VolumeGrow'),
        response: answers(200, 'Grown'),
      },
    },
    async (request): Promise<GrownBody> => ({
      sizeBytes: String(await staging.grow(request.params.name, request.body.path)),
    }),
  );

  bindRoutes(app, { staging });
}

function bindRoutes(app: FastifyInstance, { staging }: Pick<RouteDeps, 'staging'>): void {
  app.post<Params & { Body: VolumeBindBody }>(
    '/v1/volumes/:name/bind',
    {
      schema: {
        ...COMMON,
        summary: 'Give a staged volume to a user at a path',
        body: BODY('VolumeBind'),
        response: NO_CONTENT,
      },
    },
    async (request, reply) => {
      const { readOnly = false, exclusive = false, mountOptions = [] } = request.body;
      const wanted = { readOnly, exclusive, mountOptions };
      await staging.bind(request.params.name, { ...request.body, ...wanted });
      return reply.status(204).send();
    },
  );

  app.post<Params & { Body: VolumeUnbindBody }>(
    '/v1/volumes/:name/unbind',
    {
      schema: {
        ...COMMON,
        summary: 'Take a volume from a user, and remove the path',
        body: BODY('VolumeUnbind'),
        response: NO_CONTENT,
      },
    },
    async (request, reply) => {
      await staging.unbind(request.params.name, request.body.targetPath);
      return reply.status(204).send();
    },
  );
}

function usageBody(usage: StagedUsage): UsageBody {
  const { kind, totalBytes, usedBytes, availableBytes, inodes, abnormal } = usage;
  return {
    kind,
    bytes: {
      total: String(totalBytes),
      used: String(usedBytes),
      available: String(availableBytes),
    },
    inodes:
      inodes === null
        ? null
        : {
            total: String(inodes.total),
            used: String(inodes.used),
            available: String(inodes.available),
          },
    abnormal,
  };
}
