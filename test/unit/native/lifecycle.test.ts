import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { NativeEvent, NativeHost } from '../../../src/native/binding-types.js';
import { NbdClient } from './nbd-client.js';
import {
  SIZE_BYTES,
  TempDisk,
  createAndOpen,
  createHost,
  descriptors,
  exportNbd,
  hasCode,
  loops,
  until,
} from './support.js';

const LEAK_ROUNDS = 1000;
const LEAK_BYTES_MAX = 24 * 1024 * 1024; // Below what 1,000 leaked volumes with their files take.

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** How each of the promises ended: 'ok' or its code. */
async function outcomes(promises: Promise<unknown>[]): Promise<string[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((one) =>
    one.status === 'fulfilled' ? 'ok' : ((one.reason as { code?: string }).code ?? 'no code'),
  );
}

describe('the addon’s handles', function () {
  this.timeout(120_000);
  let disk: TempDisk;
  let host: NativeHost;

  beforeEach(() => {
    disk = new TempDisk();
    host = createHost();
  });
  afterEach(async () => {
    await host.close();
    disk.remove();
  });

  it('settle what is in flight and refuse what comes when a volume is closed', async () => {
    const volume = await createAndOpen(host, disk.path);
    const before = Array.from({ length: 100 }, () => volume.describe());
    const closing = [volume.close(), volume.close()];
    const after = [volume.describe(), volume.expand(2n * SIZE_BYTES), exportNbd(volume, 'x')];
    assert.deepEqual(new Set(await outcomes(before)), new Set(['ok']));
    assert.deepEqual(await outcomes(closing), ['ok', 'ok']);
    assert.deepEqual(await outcomes(after), ['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE']);
    assert.deepEqual(await outcomes([volume.close()]), ['ok']);
  });

  it('settle every call exactly once when the host is closed among them', async () => {
    const volume = await createAndOpen(host, disk.path);
    const calls: Promise<unknown>[] = [];
    for (let i = 0; i < 50; i += 1) {
      calls.push(volume.describe(), host.probeDisk(disk.path));
      calls.push(host.openTestVolume('null', SIZE_BYTES), host.listenNbd('127.0.0.1:0', null));
      if (i === 25) calls.push(host.close());
    }
    const seen = new Set(await outcomes(calls));
    assert(seen.delete('ok'));
    assert(seen.delete('UNAVAILABLE'));
    assert.deepEqual([...seen], []);
    assert.deepEqual(host.sessions(), []);
    assert.deepEqual(await outcomes([host.close(), volume.describe()]), ['ok', 'UNAVAILABLE']);
  });

  it('answer every request of a client or close its connection when the volume is closed', async () => {
    const address = await host.listenNbd('127.0.0.1:0', null);
    const volume = await createAndOpen(host, disk.path);
    await exportNbd(volume, 'x');
    const client = await NbdClient.connect(address, 'x');
    const written = Array.from({ length: 64 }, (_, index) =>
      client.write(index * 65_536, Buffer.alloc(65_536, index + 1)).then(
        () => index,
        () => null,
      ),
    );
    await written[0];
    await volume.close();
    const acknowledged = (await Promise.all(written)).filter((index) => index !== null);
    client.destroy();

    const reopened = await host.openVolume(disk.path, 'replica', 2n);
    await exportNbd(reopened, 'x');
    const reader = await NbdClient.connect(address, 'x');
    for (const index of acknowledged) {
      const data = await reader.read(index * 65_536, 65_536);
      assert(data.equals(Buffer.alloc(65_536, index + 1)), `piece ${index} was acknowledged`);
    }
    await reader.disconnect();
  });

  it('refuse more calls in flight than the limit, and take them again later', async () => {
    const calls = Array.from({ length: 5000 }, () => host.probeDisk(disk.path));
    const results = await outcomes(calls);
    assert.equal(results.filter((result) => result === 'ok').length, 4096);
    assert.equal(results.filter((result) => result === 'LIMIT_EXCEEDED').length, 5000 - 4096);
    assert.deepEqual(await outcomes([host.probeDisk(disk.path)]), ['ok']);
  });

  it('take an exception of the listener as the program’s and go on', async () => {
    const messages: string[] = [];
    const listeners = process.rawListeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => messages.push(error.message));
    try {
      const events: NativeEvent[] = [];
      const other = createHost((event) => {
        events.push(event);
        throw new Error('out of a listener');
      });
      const address = await other.listenNbd('127.0.0.1:0', null);
      const volume = await other.openTestVolume('memory', SIZE_BYTES);
      await exportNbd(volume, 'x');
      await (await NbdClient.connect(address, 'x')).disconnect();
      const ofSession = () => events.filter(({ type }) => type.startsWith('session')).length;
      await until('end of the session', () => ofSession() === 2);
      await other.close();
      assert.equal(messages.length, events.length);
      assert(messages.every((message) => message === 'out of a listener'));
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of listeners) {
        process.on('uncaughtException', listener as (error: Error) => void);
      }
    }
  });

  it('close what is collected without close()', async () => {
    const events: NativeEvent[] = [];
    const other = createHost((event) => events.push(event));
    await createAndOpen(other, disk.path); // The handle is dropped.
    const isLogged = () =>
      events.some((event) => event.type === 'log' && /volume was dropped/.test(event.message));
    await until('collection of the volume', () => {
      collectGarbage();
      return isLogged();
    });
    // Only a closed replica can be removed.
    let removed = false;
    const remove = () => other.removeReplica(disk.path, 'replica').then(() => (removed = true));
    while (!removed) await remove().catch((error: unknown) => assert(hasCode('BUSY')(error)));
    await other.close();
  });

  it('close a host that is collected without close()', async () => {
    await host.ping(); // Its loops have run, and so have their names.
    const before = loops();
    const drop = async () => {
      const volume = await createAndOpen(createHost(), disk.path);
      await volume.describe();
    };
    await drop();
    await until('end of the dropped host’s loops', () => {
      collectGarbage();
      return loops() === before;
    });
    const volume = await host.openVolume(disk.path, 'replica', 2n);
    await volume.close();
  });

  it('keep a host while only its volume is in use', async () => {
    const volume = await createAndOpen(createHost(), disk.path);
    for (let i = 0; i < 10; i += 1) {
      collectGarbage();
      await volume.describe();
    }
    await volume.close();
  });

  it(`leak nothing over ${LEAK_ROUNDS} volumes`, async () => {
    const round = async (name: string) => {
      const volume = await host.openVolume(disk.path, name, 1n);
      await exportNbd(volume, name);
      await volume.close();
    };
    for (const name of ['a', 'b']) await (await createAndOpen(host, disk.path, name)).close();
    // The pools of memory and threads fill in the first rounds.
    for (let i = 0; i < 100; i += 1) await Promise.all([round('a'), round('b')]);
    collectGarbage();
    const before = { fds: descriptors(), loops: loops(), rss: process.memoryUsage.rss() };
    for (let i = 0; i < LEAK_ROUNDS / 2; i += 1) await Promise.all([round('a'), round('b')]);
    collectGarbage();
    assert.equal(descriptors(), before.fds);
    assert.equal(loops(), before.loops);
    const grown = process.memoryUsage.rss() - before.rss;
    assert(grown < LEAK_BYTES_MAX, `${grown} bytes more`);
  });

  it('leave no descriptor and no thread of a host behind', async () => {
    const round = async (name: string) => {
      const other = createHost();
      await other.listenNbd('127.0.0.1:0', null);
      await other.listenIscsi('127.0.0.1:0');
      await createAndOpen(other, disk.path, name);
      await other.close();
    };
    await round('first');
    const before = { fds: descriptors(), loops: loops() };
    for (let i = 0; i < 20; i += 1) await round(`${i}`);
    assert.deepEqual({ fds: descriptors(), loops: loops() }, before);
  });
});
