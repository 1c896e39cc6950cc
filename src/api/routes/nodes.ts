import type { FastifyInstance } from 'fastify';
import { nodeBody } from '../bodies.js';
import { answers, QUERY } from '../schemas.js';
import type { RouteDeps } from './deps.js';

export function nodeRoutes(app: FastifyInstance, deps: RouteDeps): void {
  app.get(
    '/v1/nodes',
    {
      schema: {
        summary: 'List the nodes that run an agent on this store',
        querystring: QUERY.none,
        response: answers(200, 'NodeList'),
      },
    },
    async () => ({ items: (await deps.nodes.list()).map(nodeBody) }),
  );
}
