import type { FastifyInstance } from 'fastify';
import { answers, BODY, NO_CONTENT, PARAMS, QUERY } from '../schemas.js';
import type { TrimBody, VolumeMountBody, VolumeUnmountBody } from '../types.js';
import type { RouteDeps } from './deps.js';
import { body } from './volume-bodies.js';

type Params = { Params: { name: string } };

const DEFAULT_FILE_SYSTEM = 'ext4';

export function mountRoutes(app: FastifyInstance, deps: RouteDeps): void {
  const { mounts } = deps;

  app.post<Params & { Body: VolumeMountBody }>(
    '/v1/volumes/:name/mount',
    {
      schema: {
        summary: 'Attach a volume as a device, format it if it is blank, check it and mount it',
        params: PARAMS.volume,
        querystring: QUERY.none,
        body: BODY('VolumeMount'),
        response: answers(200, 'Volume'),
      },
    },
    async (request) => {
      const { mountPoint, fileSystem, readOnly, options } = request.body;
      const volume = await mounts.mount(request.params.name, {
        mountPoint,
        fileSystem: fileSystem ?? DEFAULT_FILE_SYSTEM,
        readOnly: readOnly ?? false,
        options: options ?? [],
      });
      return body(deps, volume);
    },
  );

  app.post<Params & { Body: VolumeUnmountBody | null }>(
    '/v1/volumes/:name/unmount',
    {
      schema: {
        summary: 'Unmount a volume, from one place or from everywhere; it stays attached',
        params: PARAMS.volume,
        querystring: QUERY.none,
        body: BODY('VolumeUnmount'),
        response: NO_CONTENT,
      },
    },
    async (request, reply) => {
      await mounts.unmount(request.params.name, request.body?.mountPoint);
      return reply.status(204).send();
    },
  );

  app.post<Params>(
    '/v1/volumes/:name/trim',
    {
      schema: {
        summary: 'Give the blocks that the mounted file system does not use back to the volume',
        params: PARAMS.volume,
        querystring: QUERY.none,
        response: answers(200, 'Trim'),
      },
    },
    async (request): Promise<TrimBody> => ({
      trimmedBytes: String(await mounts.trim(request.params.name)),
    }),
  );
}
