import type { FastifyInstance } from 'fastify';
import { groupBody } from '../bodies.js';
import { answers, BODY, NO_CONTENT, PARAMS, QUERY } from '../schemas.js';
import type { SnapshotGroupCreateBody } from '../types.js';
import type { RouteDeps } from './deps.js';

type Params = { Params: { group: string } };

export function groupRoutes(app: FastifyInstance, deps: RouteDeps): void {
  const { groups } = deps;

  app.get(
    '/v1/snapshot-groups',
    {
      schema: {
        summary: 'List snapshot groups',
        querystring: QUERY.none,
        response: answers(200, 'SnapshotGroupList'),
      },
    },
    async () => ({ items: (await groups.list()).map(groupBody) }),
  );

  app.post<{ Body: SnapshotGroupCreateBody }>(
    '/v1/snapshot-groups',
    {
      schema: {
        summary: 'Take snapshots of several volumes at one moment',
        querystring: QUERY.none,
        body: BODY('SnapshotGroupCreate'),
        response: answers(201, 'SnapshotGroup'),
      },
    },
    async (request, reply) => {
      const group = await groups.create(request.body.name, request.body.volumes);
      return reply.status(201).send(groupBody(group));
    },
  );

  app.get<Params>(
    '/v1/snapshot-groups/:group',
    {
      schema: {
        summary: 'One snapshot group, by name or id',
        params: PARAMS.group,
        querystring: QUERY.none,
        response: answers(200, 'SnapshotGroup'),
      },
    },
    async (request) => groupBody(await groups.get(request.params.group)),
  );

  app.delete<Params>(
    '/v1/snapshot-groups/:group',
    {
      schema: {
        summary: 'Delete a snapshot group with its snapshots',
        params: PARAMS.group,
        querystring: QUERY.none,
        response: NO_CONTENT,
      },
    },
    async (request, reply) => {
      await groups.delete(request.params.group);
      return reply.status(204).send();
    },
  );
}
