import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loadBinding } from '../../../src/native/binding.js';
import type { NativeEvent, NativeHost } from '../../../src/native/binding-types.js';
import { NbdClient } from './nbd-client.js';
import {
  MIB,
  SIZE_BYTES,
  TempDisk,
  createAndOpen,
  createHost,
  exportNbd,
  hasCode,
  until,
} from './support.js';

const run = promisify(execFile);
const CHILD = fileURLToPath(new URL('child.js', import.meta.url));
const TARGET = 'iqn.2026-11.io.aurochs:x';

function hasQemuIscsi(): boolean {
  const help = spawnSync('qemu-img', ['--help'], { encoding: 'utf8' });
  return help.status === 0 && help.stdout.includes('iscsi');
}

/** Blocks this thread and with it JavaScript; what else runs goes on. */
function blockJavaScript(forMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, forMs);
}

describe('the addon’s data path', function () {
  this.timeout(60_000);
  let disk: TempDisk;
  let host: NativeHost;
  let events: NativeEvent[];

  beforeEach(() => {
    disk = new TempDisk();
    events = [];
    host = createHost((event) => events.push(event));
  });
  afterEach(async () => {
    await host.close();
    disk.remove();
  });

  it('says why io_uring cannot be used, or uses it', () => {
    const problem = loadBinding().ioUringProblem();
    assert.equal(host.ioBackend, problem === null ? 'io_uring' : 'epoll');
  });

  it('answers a ping when every loop has run, and not once it is closed', async () => {
    await Promise.all(Array.from({ length: 100 }, () => host.ping()));
    await host.close();
    await assert.rejects(host.ping(), hasCode('UNAVAILABLE'));
  });

  it('keeps what is written through NBD over reopening, snapshots and revert', async () => {
    const address = await host.listenNbd('127.0.0.1:0', null);
    let volume = await createAndOpen(host, disk.path);
    await exportNbd(volume, 'x');
    const [first, second] = [randomBytes(65_536), randomBytes(65_536)];

    let client = await NbdClient.connect(address, 'x');
    assert.equal(client.sizeBytes, SIZE_BYTES);
    await client.write(4096, first);
    await client.flush();
    await volume.takeSnapshot('s1', 'one', 1_700_000_000_000);
    await client.write(4096, second);
    await client.disconnect();

    const described = await volume.describe();
    assert.equal(described.headParent, 's1');
    assert.equal(described.snapshots[0]?.name, 'one');
    assert.equal(described.snapshots[0]?.createdUnixMs, 1_700_000_000_000);
    assert.deepEqual(await volume.diff('s1', '', 0n, 16), {
      runs: [{ offsetBytes: 4096n, lengthBytes: 65_536n, state: 'data' }],
      nextOffsetBytes: null,
    });

    await volume.close();
    volume = await host.openVolume(disk.path, 'replica', 2n);
    assert.equal((await volume.describe()).epoch, 2n);
    await exportNbd(volume, 'x');
    client = await NbdClient.connect(address, 'x');
    assert((await client.read(4096, 65_536)).equals(second));
    await client.disconnect();

    await volume.revert('s1');
    await volume.expand(2n * SIZE_BYTES);
    client = await NbdClient.connect(address, 'x');
    assert.equal(client.sizeBytes, 2n * SIZE_BYTES);
    assert((await client.read(4096, 65_536)).equals(first));
    await client.disconnect();
  });

  it('gives the same bytes over NBD and iSCSI', async function () {
    if (!hasQemuIscsi()) this.skip();
    const nbd = await host.listenNbd(`unix:${disk.path}/nbd.sock`, null);
    assert.equal(nbd, `unix:${disk.path}/nbd.sock`);
    const portal = await host.listenIscsi('127.0.0.1:0');
    const volume = await createAndOpen(host, disk.path);
    await exportNbd(volume, 'x');
    const form = { readOnly: false, removable: false, provisioning: 'thin' } as const;
    const access = { chap: null, mutualChap: null, initiators: [] };
    await assert.rejects(volume.setIscsiAccess(access), hasCode('FAILED_PRECONDITION'));
    await volume.exportIscsi({ targetName: TARGET, serial: 'serial-1', ...form, access });
    await volume.setIscsiAccess(access);

    const [source, copy] = [join(disk.path, 'source'), join(disk.path, 'copy')];
    writeFileSync(source, randomBytes(Number(4n * MIB)));
    const nbdUri = `nbd+unix:///x?socket=${disk.path}/nbd.sock`;
    const iscsiUri = `iscsi://${portal}/${TARGET}/1`;
    await run('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', source, nbdUri]);
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', iscsiUri, copy]);
    assert(
      readFileSync(copy)
        .subarray(0, Number(4n * MIB))
        .equals(readFileSync(source)),
    );
    const frontends = events.flatMap((event) =>
      event.type === 'sessionOpened' ? [`${event.session.frontend} ${event.session.export}`] : [],
    );
    assert(frontends.includes('nbd x'), frontends.join());
    assert(frontends.includes(`iscsi ${TARGET}`), frontends.join());
  });

  it('tells of sessions and lists them', async () => {
    const address = await host.listenNbd('127.0.0.1:0', null);
    const volume = await host.openTestVolume('memory', SIZE_BYTES);
    await exportNbd(volume, 'x');
    const client = await NbdClient.connect(address, 'x');
    await until('session', () => host.sessions().length === 1);
    const [session] = host.sessions();
    assert.equal(session?.frontend, 'nbd');
    assert.equal(session?.export, 'x');
    await client.disconnect();
    await until('end of the session', () => events.some(({ type }) => type === 'sessionClosed'));
    const types = events.map(({ type }) => type).filter((type) => type.startsWith('session'));
    assert.deepEqual(types, ['sessionOpened', 'sessionClosed']);
    assert.deepEqual(host.sessions(), []);
  });

  it('merges a deleted snapshot away and tells when', async () => {
    const volume = await createAndOpen(host, disk.path);
    await volume.takeSnapshot('s1', 'one', 1);
    await volume.deleteSnapshot('s1');
    await until('end of the merge', () => events.some(({ type }) => type === 'mergeDone'));
    const done = { type: 'mergeDone', volumeId: 'v-replica', snapshotId: 's1', error: null };
    assert.deepEqual(
      events.filter(({ type }) => type === 'mergeDone'),
      [done],
    );
    assert.deepEqual((await volume.describe()).snapshots, []);
  });

  it('rejects with the core’s codes', async () => {
    const { path } = disk;
    const options = { volumeId: 'v', replicaId: 'r', sizeBytes: SIZE_BYTES };
    await assert.rejects(host.openVolume(path, 'gone', 1n), hasCode('NOT_FOUND'));
    await assert.rejects(host.fsckReplica(path, 'gone'), hasCode('NOT_FOUND'));
    await assert.rejects(host.removeReplica(path, 'gone'), hasCode('NOT_FOUND'));
    await assert.rejects(host.createReplica(path, '../x', options), hasCode('INVALID_ARGUMENT'));
    const tooLarge = { ...options, sizeBytes: 2n ** 60n };
    await assert.rejects(host.createReplica(path, 'x', tooLarge), hasCode('OUT_OF_RANGE'));
    const volume = await createAndOpen(host, path, 'x', 5n);
    await assert.rejects(host.createReplica(path, 'x', options), hasCode('ALREADY_EXISTS'));
    await assert.rejects(host.openVolume(path, 'x', 6n), hasCode('BUSY'));
    await assert.rejects(host.removeReplica(path, 'x'), hasCode('BUSY'));
    await assert.rejects(volume.revert('gone'), hasCode('NOT_FOUND'));
    await volume.close();
    await assert.rejects(host.openVolume(path, 'x', 4n), hasCode('STALE_EPOCH'));
    writeFileSync(join(path, 'replicas', 'x', 'replica.json'), '{');
    await assert.rejects(host.openVolume(path, 'x', 6n), hasCode('CORRUPTION'));
    const findings = await host.fsckReplica(path, 'x');
    assert(findings.some(({ severity }) => severity === 'error'));
    const address = await host.listenNbd('127.0.0.1:0', null);
    await assert.rejects(host.listenNbd(address, null), hasCode('BUSY'));
  });

  it('probes a disk', async () => {
    const probe = await host.probeDisk(disk.path);
    assert(probe.totalBytes >= probe.freeBytes && probe.fileBytesMax >= SIZE_BYTES);
    assert.notEqual(probe.fileSystem, '');
    await assert.rejects(host.probeDisk(join(disk.path, 'gone')), hasCode('NOT_FOUND'));
  });

  it('lets no request wait for JavaScript', async () => {
    const address = await host.listenNbd('127.0.0.1:0', null);
    const volume = await createAndOpen(host, disk.path);
    await exportNbd(volume, 'x');
    const blockedMs = 2000;
    const client = spawn(process.execPath, [CHILD, 'latency', address, 'x', `${blockedMs + 500}`]);
    const lines = createInterface(client.stdout)[Symbol.asyncIterator]();
    assert.equal((await lines.next()).value, 'started');
    blockJavaScript(blockedMs);
    const { slowest, requests } = JSON.parse(String((await lines.next()).value)) as {
      slowest: number;
      requests: number;
    };
    // One that had waited would have taken all of it.
    assert(slowest < blockedMs / 2, `the slowest request took ${slowest} ms`);
    assert(requests > 100, `${requests} requests`);
  });

  it('drops events that JavaScript does not take, and counts them', async () => {
    const address = await host.listenNbd('127.0.0.1:0', null);
    const volume = await host.openTestVolume('memory', SIZE_BYTES);
    await exportNbd(volume, 'x');
    const sessions = 2500; // Two events each, of which 4,096 are kept.
    const flood = spawnSync(process.execPath, [CHILD, 'flood', address, 'x', `${sessions}`]);
    assert.equal(flood.status, 0, String(flood.stderr));
    await until('count of what was dropped', () => {
      return events.some(({ type }) => type === 'eventsDropped');
    });
    await host.close();
    const dropped = events.reduce(
      (sum, one) => sum + (one.type === 'eventsDropped' ? one.count : 0),
      0,
    );
    const taken = events.filter(({ type }) => type !== 'eventsDropped').length;
    assert(dropped > 0 && taken >= 4096, `${dropped} dropped, ${taken} taken`);
    assert(dropped + taken >= 2 * sessions, `${dropped} dropped, ${taken} taken`);
  });
});
