import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { get, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ERROR_CODES, AurochsError } from '../../../src/core/errors.js';
import { silentLogger } from '../../../src/core/logger.js';
import { systemClock } from '../../../src/core/clock.js';
import { EventStream } from '../../../src/api/event-stream.js';
import { HTTP_STATUS } from '../../../src/api/http-status.js';
import { ApiServer, type ApiServerDeps, createApp } from '../../../src/api/server.js';
import type { HealthBody } from '../../../src/api/types.js';
import { ControlPlane } from '../../support/control-plane.js';

const HEALTH: HealthBody = {
  state: 'ready',
  version: '0.0.0',
  pid: 1,
  uptimeMs: 1,
  ioBackend: 'epoll',
  dataDir: '/x',
  addresses: { iscsi: [], nbd: [], api: '/x/api.sock' },
  volumes: { total: 0, attached: 0, faulted: 0 },
};

interface Answer {
  status: number;
  body: any; // eslint-disable-line @typescript-eslint/no-explicit-any
}

describe('the REST API', function () {
  this.timeout(20_000); // Each of its schemas is compiled when it is first used.

  let plane: ControlPlane;
  let deps: ApiServerDeps;
  let api: ApiServer;
  let events: EventStream;
  let directory: string;
  let logged: string[];

  beforeEach(async () => {
    plane = await ControlPlane.started({ copyWaitMs: 1_000 });
    logged = [];
    const log = {
      ...silentLogger,
      error: (message: string, fields?: unknown) =>
        logged.push(`${message} ${JSON.stringify(fields)}`),
      warn: (message: string) => logged.push(message),
    };
    events = new EventStream({
      store: plane.store,
      volumes: plane.volumes,
      events: plane.events,
      version: '0.0.0',
      clock: systemClock,
      log,
      bufferBytesMax: 64 * 1024,
    });
    await events.start();
    deps = {
      volumes: plane.volumes,
      publications: plane.publications,
      mounts: plane.mounts,
      staging: plane.staging,
      snapshots: plane.snapshots,
      groups: plane.groups,
      nodes: plane.nodes,
      disks: plane.diskService,
      events,
      version: '0.0.0',
      health: async () => HEALTH,
      doctor: async () => [{ check: 'io_uring', severity: 'ok', message: 'is there' }],
      log,
    };
    api = new ApiServer(deps);
    directory = mkdtempSync(join(tmpdir(), 'aurochs-api-'));
  });

  afterEach(async () => {
    await api.close();
    await plane.stop();
    rmSync(directory, { recursive: true });
  });

  async function call(method: string, url: string, payload?: unknown): Promise<Answer> {
    const answer = await api.inject({
      method: method,
      url,
      ...(payload === undefined ? {} : { payload: payload as object }),
    });
    return { status: answer.statusCode, body: answer.body === '' ? null : answer.json() };
  }

  it('has no schema that cannot be compiled', async () => {
    const app = createApp(deps, {});
    await app.ready();
    await app.close();
  });

  it('takes a volume through its life', async () => {
    const created = await call('POST', '/v1/volumes', { name: 'db', size: '10GiB' });
    assert.equal(created.status, 201);
    assert.equal(created.body.sizeBytes, String(10n << 30n));
    assert.equal(created.body.state, 'detached');
    assert.equal(created.body.replicas[0].diskPath, '/disk0');

    const attached = await call('POST', '/v1/volumes/db/attach');
    assert.equal(attached.status, 200);
    assert.equal(attached.body.exports[0].uri.startsWith('iscsi://127.0.0.1:3260/'), true);

    const grown = await call('POST', '/v1/volumes/db/expand', { size: '20G' });
    assert.equal(grown.body.sizeBytes, String(20n << 30n));

    const snapshot = await call('POST', '/v1/volumes/db/snapshots', { name: 's1' });
    assert.equal(snapshot.status, 201);
    assert.equal(snapshot.body.headParent, true);
    assert.equal((await call('GET', '/v1/volumes/db/snapshots')).body.items.length, 1);
    assert.equal((await call('GET', '/v1/volumes/db/snapshots/s1')).body.id, snapshot.body.id);

    const diff = await call('GET', '/v1/volumes/db/diff?from=s1&limit=10');
    assert.deepEqual(diff.body.runs, [{ offsetBytes: '0', lengthBytes: '4096', state: 'data' }]);

    assert.equal((await call('POST', '/v1/volumes/db/snapshots/s1/revert')).status, 412);
    assert.equal((await call('DELETE', '/v1/volumes/db')).status, 412);
    assert.equal((await call('POST', '/v1/volumes/db/detach', {})).body.state, 'detached');
    assert.equal((await call('POST', '/v1/volumes/db/snapshots/s1/revert')).status, 200);
    assert.equal((await call('DELETE', '/v1/volumes/db/snapshots/s1')).status, 204);
    assert.equal((await call('DELETE', '/v1/volumes/db')).status, 204);
    assert.deepEqual((await call('GET', '/v1/volumes')).body, { items: [] });
  });

  it('makes a device of a volume, mounts it, trims it and unmounts it', async () => {
    await call('POST', '/v1/volumes', { name: 'db', size: '1G' });
    const attached = await call('POST', '/v1/volumes/db/attach', { device: { frontend: 'nbd' } });
    assert.deepEqual(attached.body.device, {
      path: '/dev/aurochs/db',
      kernelPath: '/dev/nbd0',
      frontend: 'nbd',
      why: 'nbd was wished',
    });
    const mounted = await call('POST', '/v1/volumes/db/mount', { mountPoint: '/srv/db' });
    assert.equal(mounted.status, 200);
    const trimmed = await call('POST', '/v1/volumes/db/trim');
    assert.deepEqual(trimmed.body, { trimmedBytes: '4096' });
    assert.equal((await call('POST', '/v1/volumes/db/detach')).status, 423);
    assert.equal((await call('POST', '/v1/volumes/db/unmount')).status, 204);
    const detached = await call('POST', '/v1/volumes/db/detach');
    assert.equal(detached.body.device, null);
    for (const body of [{}, { mountPoint: '/x', fileSystem: 'vfat' }, { mountPoint: '' }]) {
      assert.equal((await call('POST', '/v1/volumes/db/mount', body)).status, 400);
    }
  });

  it('makes a volume of another, and says so while it is not there yet', async () => {
    const labels = { 'team/name': 'storage' };
    await call('POST', '/v1/volumes', { name: 'db', size: '1G', labels });
    const snapshot = await call('POST', '/v1/volumes/db/snapshots', { name: 's1' });
    const id = String(snapshot.body.id);
    const source = { volume: 'db', snapshot: 's1' };
    const web = await call('POST', '/v1/volumes', { name: 'web', size: '2G', source });
    assert.equal(web.status, 201);
    assert.deepEqual(web.body.source, { volume: 'db', snapshot: id });
    assert.deepEqual([web.body.copyShare, web.body.labels], [null, {}]);
    let go = (): void => {};
    const copying = new Promise<void>((resolve) => (go = resolve));
    plane.engine.hook = (where, call) =>
      where === 'before' && call.startsWith('copySnapshot clone-') ? copying : undefined;
    const clone = { name: 'clone', size: '1G', source: { volume: 'db' } };
    const slow = await call('POST', '/v1/volumes', clone);
    assert.equal(slow.status, 202);
    assert.deepEqual([slow.body.state, slow.body.copyShare], ['creating', 0]);
    assert.deepEqual(slow.body.source, { volume: 'db', snapshot: null });
    assert.equal((await call('DELETE', '/v1/volumes/db')).status, 412);
    go();
    assert.equal((await call('DELETE', '/v1/volumes/clone')).status, 204);
  });

  it('changes labels and publishes to nodes', async () => {
    await call('POST', '/v1/volumes', { name: 'db', size: '1G', labels: { a: '1' } });
    const changes = { labels: { a: null, b: '2' } };
    assert.deepEqual((await call('POST', '/v1/volumes/db/labels', changes)).body.labels, {
      b: '2',
    });
    const [node] = (await call('GET', '/v1/nodes')).body.items;
    assert.deepEqual([node.name, node.zone, node.tags], ['alpha', 'z1', ['fast-cpu']]);
    const published = await call('POST', '/v1/volumes/db/publish', { node: 'alpha' });
    const publication = { nodeId: node.id, readOnly: false, shared: false };
    assert.deepEqual(published.body.publications, [publication]);
    assert.equal(published.body.device.path, '/dev/aurochs/db');
    assert.equal((await call('POST', '/v1/volumes/db/detach')).status, 412);
    const unpublished = await call('POST', '/v1/volumes/db/unpublish');
    assert.equal(unpublished.body.state, 'detached');
    for (const body of [{}, { node: 1 }, { node: 'alpha', shared: 'yes' }]) {
      assert.equal((await call('POST', '/v1/volumes/db/publish', body)).status, 400);
    }
    for (const body of [{}, { labels: { a: 1 } }, { labels: ['a'] }, { labels: { A: 'b' } }]) {
      assert.equal((await call('POST', '/v1/volumes/db/labels', body)).status, 400);
    }
  });

  it('takes, lists, shows and deletes groups of snapshots', async () => {
    for (const name of ['a', 'b']) await call('POST', '/v1/volumes', { name, size: '1G' });
    const request = { name: 'nightly', volumes: ['a', 'b'] };
    const group = await call('POST', '/v1/snapshot-groups', request);
    assert.equal(group.status, 201);
    const { id, members } = group.body;
    assert.deepEqual(members[0].sizeBytes, String(1n << 30n));
    assert.equal((await call('POST', '/v1/snapshot-groups', request)).body.id, id);
    assert.equal((await call('GET', '/v1/snapshot-groups')).body.items.length, 1);
    assert.equal((await call('GET', `/v1/snapshot-groups/${String(id)}`)).body.name, 'nightly');
    const [member] = (await call('GET', '/v1/volumes/a/snapshots')).body.items;
    assert.deepEqual([member.id, member.group], [members[0].snapshot, id]);
    assert.equal((await call('DELETE', '/v1/volumes/a/snapshots/nightly')).status, 412);
    assert.equal((await call('DELETE', '/v1/snapshot-groups/nightly')).status, 204);
    assert.equal((await call('GET', '/v1/snapshot-groups/nightly')).status, 404);
    assert.equal(
      (await call('POST', '/v1/snapshot-groups', { name: 'x', volumes: [] })).status,
      400,
    );
  });

  it('tags disks', async () => {
    const disk = await call('POST', '/v1/disks', { path: '/disk1', tags: ['ssd'] });
    assert.deepEqual(disk.body.tags, ['ssd']);
    const url = `/v1/disks/${String(disk.body.id)}/tags`;
    assert.deepEqual((await call('POST', url, { tags: ['hdd', 'cold'] })).body.tags, [
      'cold',
      'hdd',
    ]);
    assert.equal((await call('POST', url, { tags: 'hdd' })).status, 400);
    const request = { name: 'db', size: '1G', diskTags: ['cold'] };
    assert.equal((await call('POST', '/v1/volumes', request)).body.replicas[0].diskPath, '/disk1');
  });

  it('stages a volume that has a device, binds it, tells about it and takes it back', async () => {
    await call('POST', '/v1/volumes', { name: 'db', size: '1G' });
    const stage = { path: '/staging/db', kind: 'fileSystem' };
    const url = (what: string): string => `/v1/volumes/db/${what}`;
    assert.equal((await call('POST', url('stage'), stage)).status, 412);
    await call('POST', url('attach'), { device: { frontend: 'nbd' } });
    const staged = await call('POST', url('stage'), stage);
    assert.deepEqual([staged.status, staged.body], [200, { device: '/dev/aurochs/db' }]);
    const bind = { stagingPath: '/staging/db', targetPath: '/pods/a', kind: 'fileSystem' };
    assert.equal((await call('POST', url('bind'), bind)).status, 204);
    assert.equal((await call('POST', url('detach'))).status, 423);
    const usage = await call('GET', url(`usage?path=${encodeURIComponent('/pods/a')}`));
    assert.deepEqual(usage.body, {
      kind: 'fileSystem',
      bytes: { total: String(1n << 30n), used: '0', available: String(1n << 30n) },
      inodes: { total: '16', used: '11', available: '5' },
      abnormal: null,
    });
    const grown = await call('POST', url('grow'), { path: '/pods/a' });
    assert.deepEqual(grown.body, { sizeBytes: String(1n << 30n) });
    assert.equal((await call('POST', url('unbind'), { targetPath: '/pods/a' })).status, 204);
    assert.equal((await call('POST', url('unstage'), { path: '/staging/db' })).status, 204);
    const gone = await call('POST', '/v1/volumes/gone/unstage', { path: '/staging/gone' });
    assert.equal(gone.status, 204);

    const secret = {
      passphrase: 'x',
      cipher: 'aes-xts-plain64',
      keySizeBits: 512,
      pbkdf: 'pbkdf2',
    };
    const encrypted = await call('POST', url('stage'), { ...stage, encryption: secret });
    assert.deepEqual(encrypted.body, { device: '/dev/mapper/aurochs-db' });
    for (const wrong of [
      { path: 'staging' },
      { path: '/staging/../etc' },
      { path: '/' },
      { kind: 'directory' },
      { encryption: { passphrase: '' } },
      { encryption: { passphrase: 'x', cipher: 'cipher_null-ecb' } },
      { encryption: { passphrase: 'x', keySizeBits: 100 } },
      { encryption: { passphrase: 'x', key: 'x' } },
      { formatOptions: Array<string>(33).fill('-q') },
    ]) {
      const answer = await call('POST', url('stage'), { ...stage, ...wrong });
      assert.equal(answer.status, 400, JSON.stringify(wrong));
    }
  });

  it('answers about disks, sessions, health and the doctor', async () => {
    const disks = await call('GET', '/v1/disks');
    assert.equal(disks.body.items[0].path, '/disk0');
    assert.equal((await call('POST', '/v1/disks', { path: '/disk1' })).status, 201);
    const removed = await call('DELETE', `/v1/disks/${String(disks.body.items[0].id)}`);
    assert.equal(removed.status, 204);
    assert.deepEqual((await call('GET', '/v1/sessions')).body, { items: [] });
    assert.deepEqual((await call('GET', '/v1/health')).body, HEALTH);
    assert.equal((await call('GET', '/v1/doctor')).body.items[0].severity, 'ok');
  });

  it('shows CHAP secrets only when asked for in so many words', async () => {
    const chap = {
      user: 'u',
      secret: 'a secret secret',
      mutualUser: 'm',
      mutualSecret: 'another secret',
    };
    const created = await call('POST', '/v1/volumes', { name: 'db', size: '1G', chap });
    assert.deepEqual(created.body.chap, { user: 'u', mutualUser: 'm' });
    assert.deepEqual((await call('GET', '/v1/volumes/db')).body.chap, {
      user: 'u',
      mutualUser: 'm',
    });
    assert.deepEqual((await call('GET', '/v1/volumes')).body.items[0].chap.secret, undefined);
    assert.deepEqual((await call('GET', '/v1/volumes/db?secrets=1')).body.chap, chap);
    assert.equal((await call('GET', '/v1/volumes/db?secrets=yes')).status, 400);
  });

  const bad: [string, string, string, unknown][] = [
    ['no name', 'POST', '/v1/volumes', { size: '1G' }],
    ['a field it does not know', 'POST', '/v1/volumes', { name: 'a', size: '1G', colour: 'red' }],
    ['a size that is a number', 'POST', '/v1/volumes', { name: 'a', size: 1024 }],
    ['a size that is none', 'POST', '/v1/volumes', { name: 'a', size: 'big' }],
    ['a name that is none', 'POST', '/v1/volumes', { name: 'A/B', size: '1G' }],
    ['a list for a body', 'POST', '/v1/volumes', []],
    ['no body where one is needed', 'POST', '/v1/volumes', undefined],
    ['an unknown frontend', 'POST', '/v1/volumes/a/attach', { frontends: ['nvme'] }],
    ['an unknown query', 'GET', '/v1/volumes/a/diff?offset=-1', undefined],
    ['a query that it does not know', 'GET', '/v1/volumes?x=1', undefined],
    ['a prototype in the body', 'POST', '/v1/volumes', '{"__proto__": {"name": "a"}}'],
  ];
  for (const [what, method, url, payload] of bad) {
    it(`refuses ${what} with INVALID_ARGUMENT`, async () => {
      const headers = { 'content-type': 'application/json' };
      const answer = await api.inject({
        method: method,
        url,
        ...(payload === undefined ? {} : { payload: payload as object, headers }),
      });
      assert.equal(answer.statusCode, 400);
      const { error } = answer.json<{ error: { code: string; message: string } }>();
      assert.equal(error.code, 'INVALID_ARGUMENT');
      assert.ok(error.message.length > 0);
    });
  }

  it('answers NOT_FOUND for what is not there, volume or route', async () => {
    assert.equal((await call('GET', '/v1/volumes/none')).body.error.code, 'NOT_FOUND');
    assert.equal((await call('GET', '/v2/volumes')).body.error.code, 'NOT_FOUND');
    assert.equal((await call('PATCH', '/v1/volumes')).status, 404);
    const long = await call('GET', `/v1/volumes/${'a'.repeat(5000)}`);
    assert.equal(long.body.error.code, 'INVALID_ARGUMENT');
  });

  it('refuses a body that is too large', async () => {
    const answer = await call('POST', '/v1/volumes', { name: 'x'.repeat(70_000), size: '1G' });
    assert.equal(answer.status, 413);
    assert.equal(answer.body.error.code, 'LIMIT_EXCEEDED');
  });

  it('tells nobody but the log about a fault of its own', async () => {
    plane.volumes.list = () => Promise.reject(new Error('secret detail'));
    const answer = await call('GET', '/v1/volumes');
    assert.equal(answer.status, 500);
    assert.equal(answer.body.error.code, 'INTERNAL');
    assert.ok(!JSON.stringify(answer.body).includes('secret detail'));
    assert.ok(logged.some((line) => line.includes('secret detail')));
  });

  it('passes on the hint of an error', async () => {
    plane.volumes.list = () => Promise.reject(new AurochsError('BUSY', 'busy', 'wait'));
    const answer = await call('GET', '/v1/volumes');
    assert.equal(answer.status, 423);
    assert.deepEqual(answer.body, { error: { code: 'BUSY', message: 'busy', hint: 'wait' } });
  });

  it('has an HTTP status of an error for every code', () => {
    for (const code of ERROR_CODES) assert.ok(HTTP_STATUS[code] >= 400, code);
  });

  it('describes every route that it serves, with references that resolve', async () => {
    const { body } = await call('GET', '/v1/openapi.json');
    assert.equal(body.openapi, '3.1.0');
    const paths = Object.entries(body.paths as Record<string, Record<string, unknown>>).flatMap(
      ([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    for (const route of [
      'GET /v1/health',
      'POST /v1/volumes',
      'DELETE /v1/volumes/{name}',
      'POST /v1/volumes/{name}/snapshots/{snapshot}/revert',
      'GET /v1/volumes/{name}/diff',
      'POST /v1/volumes/{name}/publish',
      'DELETE /v1/snapshot-groups/{group}',
      'GET /v1/nodes',
      'GET /v1/events',
    ]) {
      assert.ok(paths.includes(route), route);
    }
    const references = JSON.stringify(body).match(/"\$ref":"[^"]+"/g) ?? [];
    assert.ok(references.length > 20);
    for (const reference of references) {
      const name = /#\/components\/schemas\/(\w+)"$/.exec(reference)?.[1] ?? '';
      assert.ok(name in body.components.schemas, reference);
    }
  });

  describe('on its socket', () => {
    let socketPath: string;
    beforeEach(async () => {
      socketPath = join(directory, 'api.sock');
      await api.listen(socketPath);
    });

    it('lets in nobody but the user of the agent', () => {
      assert.equal(statSync(socketPath).mode & 0o777, 0o600);
    });

    it('answers garbage with 400 and goes on serving', async () => {
      const answer = await new Promise<string>((resolve, reject) => {
        const socket = connect(socketPath, () => socket.write('\0\x01garbage\r\n\r\n'));
        let text = '';
        socket.on('data', (chunk) => (text += String(chunk)));
        socket.on('close', () => resolve(text));
        socket.on('error', reject);
      });
      assert.match(answer, /^HTTP\/1\.1 400 /);
      assert.match(answer, /INVALID_ARGUMENT/);
      assert.equal((await call('GET', '/v1/health')).status, 200);
    });

    it('streams changes of volumes, snapshots and disks, without secrets', async () => {
      const received: string[] = [];
      const stream = get({ socketPath, path: '/v1/events' });
      const seen = (type: string): boolean => received.join('').includes(`event: ${type}\n`);
      await new Promise<void>((resolve, reject) => {
        stream.on('error', reject);
        stream.on('response', (response) => {
          assert.equal(response.headers['content-type'], 'text/event-stream; charset=utf-8');
          response.on('data', (chunk) => {
            received.push(String(chunk));
            if (['hello', 'volume', 'snapshot', 'disk', 'volumeDeleted'].every(seen)) resolve();
          });
          void (async () => {
            const chap = { user: 'u', secret: 'a secret secret' };
            await call('POST', '/v1/volumes', { name: 'db', size: '1G', chap });
            await call('POST', '/v1/volumes/db/snapshots', { name: 's1' });
            await call('DELETE', '/v1/volumes/db');
            await call('POST', '/v1/disks', { path: '/disk1' });
          })();
        });
      });
      stream.destroy();
      assert.ok(!received.join('').includes('a secret secret'));
    });

    it('cuts off a client that does not read its events', async () => {
      await call('POST', '/v1/volumes', { name: 'db', size: '1G' });
      const closed = new Promise<void>((resolve) => {
        const stream = request({ socketPath, path: '/v1/events' });
        stream.on('error', () => resolve());
        stream.on('response', (response) => {
          response.pause();
          response.on('close', resolve);
          response.on('error', () => resolve());
          void (async () => {
            while (!logged.some((line) => line.includes('cut off'))) {
              await call('POST', '/v1/volumes/db/detach'); // Each writes the volume anew.
              plane.events.emit({
                type: 'mergeDone',
                volume: 'db',
                snapshot: 'x',
                error: 'x'.repeat(50_000),
              });
              await new Promise((go) => setImmediate(go));
            }
            response.resume();
          })();
        });
        stream.end();
      });
      await closed;
    });
  });
});
