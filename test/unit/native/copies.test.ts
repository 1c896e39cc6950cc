/** Copies of snapshots and holds on writes, through the addon and the engine's adapter. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { EngineHost } from '../../../src/engine/engine-host.js';
import { loadBinding } from '../../../src/native/binding.js';
import type { EngineEvent, EngineVolume, ReplicaCopy } from '../../../src/volume/ports.js';
import { NbdClient } from './nbd-client.js';
import { SIZE_BYTES, TempDisk, hasCode, until } from './support.js';

const HOLD_MS = 30_000;

describe('copies and holds of the data path', function () {
  this.timeout(60_000);
  let disk: TempDisk;
  let engine: EngineHost;
  let events: EngineEvent[];
  let address: string;
  let volume: EngineVolume;
  let client: NbdClient;

  function copyTo(name: string): ReplicaCopy {
    return {
      diskPath: disk.path,
      name,
      volumeId: `v-${name}`,
      replicaId: `r-${name}`,
      sizeBytes: SIZE_BYTES,
    };
  }

  function replicas(): string[] {
    return readdirSync(join(disk.path, 'replicas')).sort();
  }

  /** What the replica holds at the start. */
  async function startOf(name: string, lengthBytes: number): Promise<Buffer> {
    const opened = await engine.openVolume(disk.path, name, 1n);
    await opened.exportNbd({ name, description: '', readOnly: true });
    const reader = await NbdClient.connect(address, name);
    const bytes = await reader.read(0, lengthBytes);
    await reader.disconnect();
    await opened.close();
    return bytes;
  }

  beforeEach(async () => {
    disk = new TempDisk();
    events = [];
    engine = new EngineHost(loadBinding(), { loops: 2, ioBackend: 'auto', lockMemory: false });
    engine.subscribe((event) => events.push(event));
    address = await engine.listenNbd('127.0.0.1:0', null);
    const options = { volumeId: 'v', replicaId: 'r', sizeBytes: SIZE_BYTES };
    await engine.createReplica(disk.path, 'source', options);
    volume = await engine.openVolume(disk.path, 'source', 1n);
    await volume.exportNbd({ name: 'source', description: '', readOnly: false });
    client = await NbdClient.connect(address, 'source');
  });
  afterEach(async () => {
    await client.disconnect();
    await engine.close();
    disk.remove();
  });

  it('make a new replica of what the snapshot holds, and tell their progress', async () => {
    const [first, second] = [randomBytes(65_536), randomBytes(65_536)];
    await client.write(0, first);
    await volume.takeSnapshot('s1', 'one', 1);
    await client.write(0, second);
    await volume.copySnapshot('s1', { ...copyTo('copy'), sizeBytes: 2n * SIZE_BYTES });
    assert.deepEqual(replicas(), ['copy', 'source']);
    assert((await startOf('copy', first.length)).equals(first));
    const copy = await engine.openVolume(disk.path, 'copy', 2n);
    const described = await copy.describe();
    assert.equal(described.volumeId, 'v-copy');
    assert.equal(described.sizeBytes, 2n * SIZE_BYTES);
    assert.deepEqual(described.snapshots, []);
    await until('end of the progress', () =>
      events.some(
        (event) =>
          event.type === 'copyProgress' && event.volumeId === 'v-copy' && event.share === 1,
      ),
    );
  });

  it('say what keeps a snapshot from being copied', async () => {
    await volume.takeSnapshot('s1', 'one', 1);
    await volume.copySnapshot('s1', copyTo('copy'));
    await assert.rejects(volume.copySnapshot('s1', copyTo('copy')), hasCode('ALREADY_EXISTS'));
    await assert.rejects(volume.copySnapshot('s2', copyTo('other')), hasCode('NOT_FOUND'));
    await assert.rejects(volume.copySnapshot('s1', copyTo('../x')), hasCode('INVALID_ARGUMENT'));
    const small = { ...copyTo('other'), sizeBytes: SIZE_BYTES / 2n };
    await assert.rejects(volume.copySnapshot('s1', small), hasCode('INVALID_ARGUMENT'));
    const nowhere = { ...copyTo('other'), diskPath: join(disk.path, 'gone') };
    await assert.rejects(volume.copySnapshot('s1', nowhere), hasCode('NOT_FOUND'));
    assert.deepEqual(replicas(), ['copy', 'source']);
  });

  /** A copy that was told to end: it is all there if it was faster, and else nothing is. */
  async function endsWhole(copy: Promise<void>, name: string, end: () => Promise<void>) {
    const [ended] = await Promise.allSettled([copy, end()]);
    if (ended.status === 'rejected') assert(hasCode('ABORTED')(ended.reason), ended.reason);
    assert.equal(replicas().includes(name), ended.status === 'fulfilled');
    assert.equal(replicas().includes(`.new-${name}`), false);
  }

  it('end when they are cancelled or their source is closed, and leave nothing', async () => {
    for (let offset = 0; offset < 8; offset += 1)
      await client.write(offset * 65_536, randomBytes(65_536));
    await volume.takeSnapshot('s1', 'one', 1);
    await volume.cancelCopy('one');
    await endsWhole(volume.copySnapshot('s1', copyTo('one')), 'one', () =>
      volume.cancelCopy('one'),
    );
    await volume.cancelCopy('one');
    await endsWhole(volume.copySnapshot('s1', copyTo('two')), 'two', () => volume.close());
    await volume.cancelCopy('two');
  });

  it('keep a write out of a snapshot that is taken while it is held', async () => {
    const [first, second] = [randomBytes(4096), randomBytes(4096)];
    await client.write(0, first);
    const release = await volume.holdWrites(HOLD_MS);
    let isWritten = false;
    const written = client.write(0, second).then(() => {
      isWritten = true;
    });
    await volume.takeSnapshot('s1', 'one', 1);
    assert((await client.read(0, 4096)).equals(first));
    assert.equal(isWritten, false);
    await assert.rejects(volume.holdWrites(HOLD_MS), hasCode('BUSY'));
    await assert.rejects(volume.revert('s1'), hasCode('BUSY'));
    assert.equal(await release(), true);
    await written;
    assert((await client.read(0, 4096)).equals(second));
    await volume.copySnapshot('s1', copyTo('copy'));
    assert((await startOf('copy', 4096)).equals(first));
  });

  it('let writes go on by themselves after the deadline, and say so', async () => {
    const release = await volume.holdWrites(1);
    await client.write(0, randomBytes(4096));
    assert.equal(await release(), false);
    const next = await volume.holdWrites(HOLD_MS);
    assert.equal(await release(), false);
    assert.equal(await next(), true);
    await assert.rejects(volume.holdWrites(0), hasCode('INVALID_ARGUMENT'));
    await assert.rejects(volume.holdWrites(HOLD_MS + 1), hasCode('INVALID_ARGUMENT'));
  });

  it('let writes go on when the volume is closed', async () => {
    const bytes = randomBytes(4096);
    const release = await volume.holdWrites(HOLD_MS);
    const written = client.write(0, bytes);
    await client.read(0, 512); // Behind the write on its connection.
    await volume.close();
    await written;
    assert.equal(await release(), false);
    assert((await startOf('source', 4096)).equals(bytes));
  });
});
