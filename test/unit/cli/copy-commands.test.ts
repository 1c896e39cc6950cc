import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { EventBody, SnapshotGroupBody } from '../../../src/api/types.js';
import { FakeAgent, errorBody } from '../../support/fake-agent.js';
import { type CliOptions, type CliResult, runCli } from '../../support/run-cli.js';
import { DEVICE, diskBody, snapshotBody, volumeBody } from './fixtures.js';

const GROUP: SnapshotGroupBody = {
  id: '6b1f4a1e-0000-4000-8000-0000000000aa',
  name: 'nightly',
  createdAt: '2026-11-22T19:10:00.000Z',
  members: [
    { volume: 'db', snapshot: 's1', sizeBytes: '1073741824' },
    { volume: 'wal', snapshot: 's2', sizeBytes: '1073741824' },
  ],
};

describe('aurochs about copies, groups and places', () => {
  let agent: FakeAgent;
  beforeEach(async () => {
    agent = await FakeAgent.start();
  });
  afterEach(() => agent.stop());

  const run = (line: string, options?: CliOptions): Promise<CliResult> =>
    runCli([...line.split(' '), '--api-socket', agent.socketPath], options);
  const sent = (line: string): unknown => agent.seen.find((each) => each.line === line)?.body;

  describe('volume create --from', () => {
    const web = volumeBody({ id: 'web-id', name: 'web', source: { volume: 'db', snapshot: null } });
    const copying = { ...web, state: 'creating', copyShare: 0.1 } as const;

    /** The event stream is open before the copy is asked for, else its end would be missed. */
    const createThenSend = (events: readonly EventBody[], end = false): void => {
      let stream: ServerResponse | null = null;
      agent.on('GET /v1/volumes/db', { body: volumeBody() });
      agent.on('GET /v1/events', (_request: IncomingMessage, response: ServerResponse) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(': hello\n\n');
        stream = response;
      });
      agent.on('POST /v1/volumes', (_request, response) => {
        assert.ok(stream, 'nobody listens yet');
        response.writeHead(202, { 'content-type': 'application/json' });
        response.end(JSON.stringify(copying));
        for (const event of events) {
          stream.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
        }
        if (end) stream.end();
      });
    };

    it('copies a volume as large as it is, and waits with a line now and then', async () => {
      createThenSend([
        { type: 'copyProgress', volume: 'other', share: 0.9 },
        { type: 'copyProgress', volume: 'web', share: 0.5 },
        { type: 'volume', volume: { ...copying, labels: { a: 'b' } } },
        { type: 'volume', volume: web },
      ]);
      const { code, stdout, stderr } = await run('volume create web --from db');
      assert.equal(code, 0);
      assert.equal(stdout, 'created volume web\n');
      assert.match(stderr, /^copying web: 50%\ncopying web: 100%\n/);
      const body = { name: 'web', size: volumeBody().sizeBytes, source: { volume: 'db' } };
      assert.deepEqual(sent('POST /v1/volumes'), body);
    });

    it('draws a bar on a terminal', async () => {
      createThenSend([{ type: 'volume', volume: web }]);
      const { stderr } = await run('volume create web --from db', { typed: '' });
      assert.match(stderr, /copying web \[/);
    });

    it('says what to do when the copy fails, and goes on while it only waits', async () => {
      const waits = { code: 'UNAVAILABLE', message: 'db is attaching' } as const;
      const full = { code: 'NO_SPACE', message: 'disk is full', hint: 'Make room.' } as const;
      createThenSend([
        { type: 'volume', volume: { ...copying, problem: waits } },
        { type: 'volume', volume: { ...copying, problem: full } },
      ]);
      const { code, stderr } = await run('volume create web --from db');
      assert.equal(code, 8);
      assert.match(stderr, /disk is full\nnext: Make room\. Then: aurochs volume rm web, /);
    });

    it('says that the copy begins anew when the agent stops, and that somebody deleted it', async () => {
      createThenSend([], true);
      const stopped = await run('volume create web --from db');
      assert.equal(stopped.code, 12);
      assert.match(stopped.stderr, /begins anew/);
      createThenSend([{ type: 'volumeDeleted', name: 'web', id: 'web-id' }]);
      assert.equal((await run('volume create web --from db')).code, 13);
    });

    it('copies a snapshot, larger, and leaves the copy to the agent', async () => {
      agent.on('POST /v1/volumes', { status: 202, body: copying });
      const { stdout } = await run('volume create web --from db/mon --size 20G --no-wait');
      assert.equal(stdout, 'copying in the background: volume web\n');
      const source = { volume: 'db', snapshot: 'mon' };
      const body = { name: 'web', size: String(20n << 30n), source };
      assert.deepEqual(sent('POST /v1/volumes'), body);
    });

    it('takes the size of the snapshot when none is said', async () => {
      agent.on('GET /v1/volumes/db/snapshots/mon', { body: snapshotBody({ sizeBytes: '4096' }) });
      agent.on('POST /v1/volumes', { status: 201, body: web });
      await run('volume create web --from db/mon --no-wait');
      assert.equal((sent('POST /v1/volumes') as { size: string }).size, '4096');
    });
  });

  it('places a volume by tags and nodes, and labels it', async () => {
    agent.on('POST /v1/volumes', { status: 201, body: volumeBody() });
    const where = '--disk-tag ssd --disk-tag fast --node n1 --node-tag big';
    await run(`volume create db --size 1G ${where} --label team=storage --label x=a=b`);
    assert.deepEqual(sent('POST /v1/volumes'), {
      name: 'db',
      size: '1073741824',
      diskTags: ['ssd', 'fast'],
      nodes: ['n1'],
      nodeTags: ['big'],
      labels: { team: 'storage', x: 'a=b' },
    });
    const bad = await run('volume create db --size 1G --label team');
    assert.equal(bad.code, 2);
    assert.match(bad.stderr, /"team" is no label/);
  });

  it('sets labels and takes them away', async () => {
    agent.on('POST /v1/volumes/db/labels', { body: volumeBody({ labels: { a: '1' } }) });
    assert.equal((await run('volume label db a=1 b- c=')).stdout, 'labelled volume db\n');
    const labels = { a: '1', b: null, c: '' };
    assert.deepEqual(sent('POST /v1/volumes/db/labels'), { labels });
    assert.equal((await run('volume label db')).code, 2);
  });

  it('publishes and unpublishes', async () => {
    agent.on('POST /v1/volumes/db/publish', { body: volumeBody({ device: DEVICE }) });
    agent.on('POST /v1/volumes/db/unpublish', { body: volumeBody() });
    const { stdout } = await run('volume publish db n1 --read-only --shared --frontend nbd');
    assert.match(stdout, /^published volume db to node n1 as \/dev\/aurochs\/db /);
    const body = { node: 'n1', readOnly: true, shared: true, frontend: 'nbd' };
    assert.deepEqual(sent('POST /v1/volumes/db/publish'), body);
    const { stdout: done } = await run('volume unpublish db');
    assert.equal(done, 'unpublished volume db from all nodes\n');
    assert.deepEqual(sent('POST /v1/volumes/db/unpublish'), {});
  });

  it('shows where a volume comes from, its labels and who may use it', async () => {
    const body = volumeBody({
      state: 'creating',
      copyShare: 0.456,
      labels: { team: 'storage' },
      source: { volume: 'other', snapshot: null },
      publications: [{ nodeId: 'n1', readOnly: true, shared: true }],
    });
    agent.on('GET /v1/volumes/db', { body });
    const { stdout } = await run('volume show db');
    assert.match(stdout, /^state +creating, 45% copied$/m);
    assert.match(stdout, /^made of +volume other$/m);
    assert.match(stdout, /^label +team=storage$/m);
    assert.match(stdout, /^published +to node n1, read-only, shared$/m);
  });

  it('creates, lists, shows and deletes groups', async () => {
    agent.on('POST /v1/snapshot-groups', { status: 201, body: GROUP });
    agent.on('GET /v1/snapshot-groups', { body: { items: [GROUP] } });
    agent.on('GET /v1/snapshot-groups/nightly', { body: GROUP });
    agent.on('DELETE /v1/snapshot-groups/nightly', { status: 204 });
    const created = await run('snapshot group create nightly db wal');
    assert.equal(created.stdout, 'created snapshot group nightly of 2 volume(s)\n');
    const request = { name: 'nightly', volumes: ['db', 'wal'] };
    assert.deepEqual(sent('POST /v1/snapshot-groups'), request);
    assert.match((await run('snapshot group ls')).stdout, /^nightly .* db, wal$/m);
    const shown = await run('snapshot group show nightly');
    assert.match(shown.stdout, /^snapshot +s2 of volume wal, 1GiB$/m);
    const json = await run('snapshot group show nightly -o json');
    assert.deepEqual(JSON.parse(json.stdout), GROUP);
    const removed = await run('snapshot group rm nightly -o json');
    assert.deepEqual(JSON.parse(removed.stdout), { group: 'nightly', deleted: true });
  });

  it('names the help of a group, and what was meant', async () => {
    assert.match((await run('snapshot group')).stderr, /See: aurochs snapshot group --help/);
    const { stderr } = await run('snapshot group creat x');
    assert.match(stderr, /no command "snapshot group creat"/);
    assert.match(stderr, /Did you mean: aurochs snapshot group create/);
    const missing = await run('snapshot group create x');
    assert.match(missing.stderr, /<volumes> is missing/);
  });

  it('tags disks and lists nodes', async () => {
    agent.on('POST /v1/disks', { status: 201, body: diskBody({ tags: ['ssd'] }) });
    agent.on('POST /v1/disks/d1/tags', { body: diskBody() });
    await run('disk add /srv/fast --tag ssd');
    assert.deepEqual(sent('POST /v1/disks'), { path: '/srv/fast', tags: ['ssd'] });
    assert.equal((await run('disk tag d1')).stdout, 'disk /srv/fast has no tags\n');
    assert.deepEqual(sent('POST /v1/disks/d1/tags'), { tags: [] });
    const { createdAt } = GROUP;
    const node = { id: 'n1', name: 'alpha', zone: null, tags: ['big'], createdAt };
    agent.on('GET /v1/nodes', { body: { items: [node] } });
    assert.match((await run('node ls')).stdout, /^alpha +n1 +- +big /m);
  });

  it('passes on why a snapshot of a group is not deleted alone', async () => {
    const why = errorBody('FAILED_PRECONDITION', 'snapshot mon belongs to group nightly');
    agent.on('DELETE /v1/volumes/db/snapshots/mon', { status: 412, body: why });
    assert.equal((await run('snapshot rm db mon')).code, 10);
  });
});
