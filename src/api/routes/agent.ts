import type { FastifyInstance } from 'fastify';
import type { OpenApiDocument } from '../openapi.js';
import { answers, QUERY } from '../schemas.js';
import type { RouteDeps } from './deps.js';

export function agentRoutes(
  app: FastifyInstance,
  deps: RouteDeps,
  document: OpenApiDocument,
): void {
  app.get(
    '/v1/health',
    {
      schema: {
        summary: 'State, version and addresses of the agent',
        querystring: QUERY.none,
        response: answers(200, 'Health'),
      },
    },
    () => deps.health(),
  );

  app.get(
    '/v1/sessions',
    {
      schema: {
        summary: 'Open sessions of both frontends',
        querystring: QUERY.none,
        response: answers(200, 'SessionList'),
      },
    },
    async () => ({ items: deps.volumes.sessions() }),
  );

  app.get(
    '/v1/doctor',
    {
      schema: {
        summary: 'What on this machine stands in the way',
        querystring: QUERY.none,
        response: answers(200, 'DoctorFindingList'),
      },
    },
    async () => ({ items: await deps.doctor() }),
  );

  app.get(
    '/v1/events',
    { schema: { summary: 'Server-sent events of every change', querystring: QUERY.none } },
    async (_request, reply) => {
      deps.events.add(reply.raw);
      reply.hijack();
    },
  );

  app.get('/v1/openapi.json', { schema: { summary: 'This document' } }, async () =>
    document.toJson(deps.version),
  );
}
