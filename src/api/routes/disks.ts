import type { FastifyInstance } from 'fastify';
import { diskBody } from '../bodies.js';
import { answers, BODY, NO_CONTENT, PARAMS, QUERY } from '../schemas.js';
import type { DiskAddBody, DiskTagsBody } from '../types.js';
import type { RouteDeps } from './deps.js';

export function diskRoutes(app: FastifyInstance, deps: RouteDeps): void {
  const { disks, volumes } = deps;

  app.get(
    '/v1/disks',
    {
      schema: {
        summary: 'List disks',
        querystring: QUERY.none,
        response: answers(200, 'DiskList'),
      },
    },
    async () => {
      const replicas = new Map<string, number>();
      for (const place of (await volumes.list()).flatMap((volume) => volume.replicas)) {
        replicas.set(place.diskId, (replicas.get(place.diskId) ?? 0) + 1);
      }
      const items = await disks.list();
      return { items: items.map((disk) => diskBody(disk, replicas.get(disk.id) ?? 0)) };
    },
  );

  app.post<{ Body: DiskAddBody }>(
    '/v1/disks',
    {
      schema: {
        summary: 'Add a directory as a disk, once it passes the probe',
        querystring: QUERY.none,
        body: BODY('DiskAdd'),
        response: answers(201, 'Disk'),
      },
    },
    async (request, reply) => {
      const disk = await disks.add(request.body.path, request.body.tags);
      return reply.status(201).send(diskBody(disk, (await disks.replicasOn(disk.id)).length));
    },
  );

  app.post<{ Params: { id: string }; Body: DiskTagsBody }>(
    '/v1/disks/:id/tags',
    {
      schema: {
        summary: 'Set the tags of a disk; what lies on it stays',
        params: PARAMS.disk,
        querystring: QUERY.none,
        body: BODY('DiskTags'),
        response: answers(200, 'Disk'),
      },
    },
    async (request) => {
      const disk = await disks.setTags(request.params.id, request.body.tags);
      return diskBody(disk, (await disks.replicasOn(disk.id)).length);
    },
  );

  app.delete<{ Params: { id: string } }>(
    '/v1/disks/:id',
    {
      schema: {
        summary: 'Remove a disk that holds no volume; its files stay',
        params: PARAMS.disk,
        querystring: QUERY.none,
        response: NO_CONTENT,
      },
    },
    async (request, reply) => {
      await disks.remove(request.params.id);
      return reply.status(204).send();
    },
  );
}
