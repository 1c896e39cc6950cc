import type { FastifyInstance } from 'fastify';
import { diffBody, snapshotBody } from '../bodies.js';
import { answers, BODY, NO_CONTENT, PARAMS, QUERY } from '../schemas.js';
import type { SnapshotCreateBody } from '../types.js';
import type { RouteDeps } from './deps.js';

type VolumeParams = { Params: { name: string } };
type SnapshotParams = { Params: { name: string; snapshot: string } };
type DiffQuery = { Querystring: { from?: string; to?: string; offset?: string; limit?: string } };

export function snapshotRoutes(app: FastifyInstance, deps: RouteDeps): void {
  readRoutes(app, deps);
  changeRoutes(app, deps);
  diffRoute(app, deps);
}

function readRoutes(app: FastifyInstance, deps: RouteDeps): void {
  const { snapshots } = deps;

  app.get<VolumeParams>(
    '/v1/volumes/:name/snapshots',
    {
      schema: {
        summary: 'List the snapshots of a volume, parents before children',
        params: PARAMS.volume,
        querystring: QUERY.none,
        response: answers(200, 'SnapshotList'),
      },
    },
    async (request) => ({
      items: (await snapshots.list(request.params.name)).map(snapshotBody),
    }),
  );

  app.get<{ Querystring: { name: string } }>(
    '/v1/snapshots',
    {
      schema: {
        summary: 'Snapshots of that name, of all volumes as they were last seen; none is opened',
        querystring: QUERY.name,
        response: answers(200, 'SnapshotList'),
      },
    },
    async (request) => ({
      items: (await snapshots.lastSeen(request.query.name)).map(snapshotBody),
    }),
  );

  app.get<SnapshotParams>(
    '/v1/volumes/:name/snapshots/:snapshot',
    {
      schema: {
        summary: 'One snapshot, by name or id',
        params: PARAMS.snapshot,
        querystring: QUERY.none,
        response: answers(200, 'Snapshot'),
      },
    },
    async (request) =>
      snapshotBody(await snapshots.get(request.params.name, request.params.snapshot)),
  );
}

function changeRoutes(app: FastifyInstance, deps: RouteDeps): void {
  const { snapshots } = deps;

  app.post<VolumeParams & { Body: SnapshotCreateBody | null }>(
    '/v1/volumes/:name/snapshots',
    {
      schema: {
        summary: 'Take a snapshot',
        params: PARAMS.volume,
        querystring: QUERY.none,
        body: BODY('SnapshotCreate'),
        response: answers(201, 'Snapshot'),
      },
    },
    async (request, reply) => {
      const snapshot = await snapshots.create(request.params.name, request.body?.name);
      return reply.status(201).send(snapshotBody(snapshot));
    },
  );

  app.delete<SnapshotParams>(
    '/v1/volumes/:name/snapshots/:snapshot',
    {
      schema: {
        summary: 'Delete a snapshot; its space comes back in the background',
        params: PARAMS.snapshot,
        querystring: QUERY.none,
        response: NO_CONTENT,
      },
    },
    async (request, reply) => {
      await snapshots.delete(request.params.name, request.params.snapshot);
      return reply.status(204).send();
    },
  );

  app.post<SnapshotParams>(
    '/v1/volumes/:name/snapshots/:snapshot/revert',
    {
      schema: {
        summary: 'Set a detached volume back to a snapshot',
        params: PARAMS.snapshot,
        querystring: QUERY.none,
        response: answers(200, 'Snapshot'),
      },
    },
    async (request) =>
      snapshotBody(await snapshots.revert(request.params.name, request.params.snapshot)),
  );
}

function diffRoute(app: FastifyInstance, deps: RouteDeps): void {
  const { snapshots } = deps;

  app.get<VolumeParams & DiffQuery>(
    '/v1/volumes/:name/diff',
    {
      schema: {
        summary:
          'One page of the runs that differ between two snapshots, or a snapshot and the head',
        params: PARAMS.volume,
        querystring: QUERY.diff,
        response: answers(200, 'Diff'),
      },
    },
    async (request) => {
      const { from = '', to = '', offset = '0', limit } = request.query;
      const runsMax = limit === undefined ? {} : { runsMax: Number(limit) };
      const asked = { from, to, offsetBytes: BigInt(offset), ...runsMax };
      return diffBody(await snapshots.diff(request.params.name, asked));
    },
  );
}
