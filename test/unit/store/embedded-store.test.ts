import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { hasCode } from '../../../src/core/errors.js';
import { STORE_WATCH_BACKLOG } from '../../../src/core/limits.js';
import { EmbeddedStore } from '../../../src/store/embedded-store.js';
import {
  describeStore,
  sampleDisk,
  sampleNode,
  sampleVolume,
} from '../../support/store-conformance.js';

describeStore('the embedded store', async () => EmbeddedStore.open(':memory:'));

describe('the embedded store on a file', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'aurochs-store-'));
    path = join(directory, 'state.db');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('has what was written when it is opened again, and goes on with its revisions', async () => {
    const first = EmbeddedStore.open(path);
    const item = await first.create('volume', 'db', sampleVolume('db'));
    await first.close();
    const second = EmbeddedStore.open(path);
    assert.deepEqual(await second.get('volume', 'db'), item);
    const other = await second.create('volume', 'x', sampleVolume('x'));
    assert.ok(Number(other.revision) > Number(item.revision));
    await second.close();
  });

  it('reads what was written before volumes had devices', async () => {
    const first = EmbeddedStore.open(path);
    await first.create('volume', 'db', sampleVolume('db'));
    await first.close();
    const db = new Database(path);
    const fields = ['$.device', '$.desired.device', '$.desired.removable'];
    db.prepare(
      `UPDATE resource SET value = json_remove(value, ${fields.map(() => '?').join()})`,
    ).run(fields);
    db.close();
    const second = EmbeddedStore.open(path);
    assert.deepEqual((await second.get('volume', 'db'))?.value, sampleVolume('db'));
    await second.close();
  });

  it('reads what was written before volumes had labels, sources and publications, and disks tags', async () => {
    const first = EmbeddedStore.open(path);
    await first.create('volume', 'db', sampleVolume('db'));
    await first.create('disk', 'd1', sampleDisk('d1', { tags: [] }));
    await first.create('node', 'self', sampleNode('n'));
    await first.close();
    const db = new Database(path);
    const fields = ['labels', 'source', 'publications', 'unwanted', 'tags', 'zone'];
    const paths = fields.map((field) => `$.${field}`);
    db.prepare(
      `UPDATE resource SET value = json_remove(value, ${paths.map(() => '?').join()})`,
    ).run(paths);
    db.close();
    const second = EmbeddedStore.open(path);
    assert.deepEqual((await second.get('volume', 'db'))?.value, sampleVolume('db'));
    assert.deepEqual((await second.get('disk', 'd1'))?.value, sampleDisk('d1', { tags: [] }));
    assert.deepEqual((await second.get('node', 'self'))?.value, sampleNode('n'));
    await second.close();
  });

  it('writes nothing that it could not read again', async () => {
    const store = EmbeddedStore.open(path);
    const bad = { ...sampleVolume('bad'), createdUnixMs: 1.5 };
    const writes = [
      store.create('volume', 'good', sampleVolume('good')),
      store.create('volume', 'bad', bad),
    ];
    const results = await Promise.allSettled(writes);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
    assert.equal((await store.list('volume')).items.length, 1);
    await store.close();
  });

  it('writes what was asked for before it is closed', async () => {
    const first = EmbeddedStore.open(path);
    const written = first.create('volume', 'db', sampleVolume('db'));
    await first.close();
    await written;
    const second = EmbeddedStore.open(path);
    assert.equal(await second.count('volume'), 1);
    await second.close();
  });

  it('lets no write of a turn through when the transaction that they share fails', async () => {
    const store = EmbeddedStore.open(path);
    const other = new Database(path);
    other.exec(
      `CREATE TRIGGER full BEFORE INSERT ON resource WHEN NEW.key = 'bad'
       BEGIN SELECT RAISE(ABORT, 'made to fail'); END`,
    );
    other.close();
    const writes = ['good', 'bad', 'fine'].map((name) =>
      store.create('volume', name, sampleVolume(name)),
    );
    for (const write of writes) await assert.rejects(write, /made to fail/);
    assert.deepEqual((await store.list('volume')).items, []);
    await store.create('volume', 'good', sampleVolume('good'));
    await store.close();
  });

  it('has what was acknowledged to a process that was killed', () => {
    const module = new URL('../../../src/store/embedded-store.js', import.meta.url).href;
    const support = new URL('../../support/store-conformance.js', import.meta.url).href;
    const script = `
      globalThis.describe = globalThis.it = () => {};
      const { EmbeddedStore } = await import(${JSON.stringify(module)});
      const { sampleVolume } = await import(${JSON.stringify(support)});
      const store = EmbeddedStore.open(${JSON.stringify(path)});
      await store.create('volume', 'db', sampleVolume('db'));
      process.kill(process.pid, 'SIGKILL');`;
    assert.throws(
      () =>
        execFileSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'pipe' }),
      (error: { signal?: string }) => error.signal === 'SIGKILL',
    );
    const store = EmbeddedStore.open(path);
    return store.get('volume', 'db').then(async (item) => {
      assert.equal(item?.key, 'db');
      await store.close();
    });
  });

  it('refuses a file of a newer version and leaves it alone', () => {
    const db = new Database(path);
    db.pragma('application_id = 1096110671');
    db.pragma('user_version = 99');
    db.close();
    assert.throws(
      () => EmbeddedStore.open(path),
      (error) => hasCode(error, 'UNSUPPORTED') && /schema 99.*newer aurochs/s.test(text(error)),
    );
    const again = new Database(path);
    assert.equal(again.pragma('user_version', { simple: true }), 99);
    again.close();
  });

  it('refuses a SQLite file of another program', () => {
    const db = new Database(path);
    db.exec('CREATE TABLE theirs (x)');
    db.pragma('user_version = 1');
    db.close();
    assert.throws(
      () => EmbeddedStore.open(path),
      (error) => hasCode(error, 'CORRUPTION') && text(error).includes('another program'),
    );
  });

  it('names the file when it is not a SQLite file at all', () => {
    writeFileSync(path, 'x'.repeat(4096));
    assert.throws(
      () => EmbeddedStore.open(path),
      (error) => hasCode(error, 'CORRUPTION') && text(error).includes(path),
    );
  });

  it('names the field of a resource that was edited badly', async () => {
    const store = EmbeddedStore.open(path);
    await store.create('volume', 'db', sampleVolume('db'));
    await store.close();
    const db = new Database(path);
    db.exec(`UPDATE resource SET value = json_set(value, '$.epoch', -1)`);
    db.close();
    const again = EmbeddedStore.open(path);
    await assert.rejects(
      again.get('volume', 'db'),
      (error) => hasCode(error, 'CORRUPTION') && text(error).includes('volume.epoch'),
    );
    await again.close();
  });

  it('says that a watch was lost when its revision is too old', async () => {
    const store = EmbeddedStore.open(':memory:');
    let item = await store.create('volume', 'db', sampleVolume('db'));
    const old = item.revision;
    for (let count = 0; count <= STORE_WATCH_BACKLOG; ++count) {
      item = await store.update('volume', 'db', item.value, item.revision);
    }
    const why = await new Promise<string>((resolve) => {
      store.watch('volume', old, () => assert.fail('delivered after a gap'), resolve);
    });
    assert.match(why, /too old/);
    await store.close();
  });

  it('answers UNAVAILABLE once it is closed', async () => {
    const store = EmbeddedStore.open(path);
    await store.close();
    await assert.rejects(store.get('volume', 'db'), (error) => hasCode(error, 'UNAVAILABLE'));
  });
});

function text(error: unknown): string {
  return error instanceof Error
    ? `${error.message} ${'hint' in error ? String(error.hint) : ''}`
    : '';
}
