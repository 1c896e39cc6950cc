import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';

import type { KernelNbdOptions } from '../../src/volume/ports.js';
import { RunningProgram, run } from '../support/programs.js';
import { eventually, expectClean } from './support/devices.js';
import { DISK_MOUNT, mountDisk } from './support/guest-agent.js';
import { note } from './support/messages.js';
import { VolumeServer } from './support/volume-server.js';

const MIB = 1024n * 1024n;
const SIZE_BYTES = 256n * MIB;
const GROWN_BYTES = 512n * MIB;
const MOUNT = '/mnt/volume';
const ADDRESS = 'unix:/run/volume-server.sock';
const OPTIONS: KernelNbdOptions = {
  address: ADDRESS,
  exportName: 'db',
  connections: 1,
  requestTimeoutS: 5,
  deadConnectionTimeoutS: 120,
  identifier: 'aurochs:db',
};

function sysfs(index: number, name: string): string {
  return readFileSync(`/sys/block/nbd${index}/${name}`, 'utf8').trim();
}

async function sizeOf(device: string): Promise<bigint> {
  return BigInt((await run('blockdev', '--getsize64', device)).trim());
}

/** The kernel's own complaints about a block device or its file system. */
async function kernelErrors(): Promise<string[]> {
  const lines = (await run('dmesg')).split('\n');
  return lines.filter((line) => /I\/O error|EXT4-fs (error|warning)|remounting/i.test(line));
}

describe('the kernel’s NBD client', () => {
  const server = new VolumeServer({
    diskPath: DISK_MOUNT,
    name: 'db',
    sizeBytes: SIZE_BYTES,
    address: ADDRESS,
  });
  let index: number;
  let device: string;

  before(async () => {
    await mountDisk();
    mkdirSync(MOUNT, { recursive: true });
    await server.start();
  });
  after(() => server.kill());

  it('is there once its module is', async () => {
    await assert.rejects(server.ask('connect', OPTIONS), { code: 'UNSUPPORTED' });
    await run('modprobe', 'nbd');
    await assert.rejects(server.ask('connect', { ...OPTIONS, exportName: 'none' }), {
      code: 'NOT_FOUND',
    });
  });

  it('takes a free device with the size, blocks and name of the volume', async () => {
    index = await server.ask('connect', OPTIONS);
    device = `/dev/nbd${index}`;
    assert.equal(await sizeOf(device), SIZE_BYTES);
    assert.equal(sysfs(index, 'queue/logical_block_size'), '512');
    assert.equal(sysfs(index, 'queue/write_cache'), 'write back');
    assert.equal(sysfs(index, 'ro'), '0');
    assert.equal(sysfs(index, 'backend'), OPTIONS.identifier);
    assert.equal(await server.ask('connections'), 1);
  });

  it('keeps what is written while the server is killed and started again', async () => {
    await run('mkfs.ext4', '-q', device);
    await run('mount', device, MOUNT);
    await run('dd', 'if=/dev/urandom', `of=${MOUNT}/before`, 'bs=1M', 'count=16', 'conv=fsync');
    const before = await run('sha256sum', `${MOUNT}/before`);

    // 512 writes and flushes of which some are under way, and the rest comes, while nobody answers.
    const args = ['if=/dev/urandom', `of=${MOUNT}/during`, 'bs=64k', 'count=512', 'oflag=dsync'];
    const writer = new RunningProgram('dd', args);
    await eventually('the first writes are flushed', () =>
      existsSync(`${MOUNT}/during`) && statSync(`${MOUNT}/during`).size > 0 ? true : undefined,
    );
    await server.kill();
    const killed = performance.now();
    await server.start();
    await server.ask('reconnect', index, OPTIONS);
    note(`served again ${((performance.now() - killed) / 1000).toFixed(1)} s after the kill`);
    await writer.succeeded();

    await run('sync');
    await run('sh', '-c', 'echo 3 > /proc/sys/vm/drop_caches');
    assert.equal(await run('sha256sum', `${MOUNT}/before`), before);
    assert.equal((await run('stat', '-c', '%s', `${MOUNT}/during`)).trim(), `${512 * 65536}`);
    assert.deepEqual(await kernelErrors(), []);
  });

  it('sees a new size under a mounted file system', async () => {
    await server.ask('expand', GROWN_BYTES);
    await server.ask('reconnect', index, OPTIONS);
    assert.equal(await sizeOf(device), GROWN_BYTES);
    assert.equal(await server.ask('connections'), 1);
    await run('resize2fs', device);
    const blocks = await run('stat', '-f', '-c', '%b %S', MOUNT);
    const [count = '0', bytes = '0'] = blocks.trim().split(' ');
    assert.ok(BigInt(count) * BigInt(bytes) > GROWN_BYTES / 2n, blocks);
  });

  it('refuses to connect a device to another volume', async () => {
    const other = { ...OPTIONS, identifier: 'aurochs:other' };
    await assert.rejects(server.ask('reconnect', index, other), { code: 'FAILED_PRECONDITION' });
  });

  it('leaves nothing when it is disconnected', async () => {
    await run('umount', MOUNT);
    await expectClean(device);
    await server.ask('disconnect', index);
    assert.equal(existsSync(`/sys/block/nbd${index}/pid`), false);
    assert.equal(existsSync(`/sys/block/nbd${index}/backend`), false);
    assert.equal(sysfs(index, 'size'), '0');
    await assert.rejects(server.ask('reconnect', index, OPTIONS), { code: 'FAILED_PRECONDITION' });
    await server.ask('disconnect', index);
    await assert.rejects(server.ask('disconnect', 4000), { code: 'NOT_FOUND' });
    assert.deepEqual(await kernelErrors(), []);
  });

  it('spreads a device over several connections, and replaces them all', async () => {
    const several = { ...OPTIONS, connections: 4 };
    index = await server.ask('connect', several);
    assert.equal(await server.ask('connections'), 4);
    await server.kill();
    await server.start();
    await server.ask('reconnect', index, several);
    assert.equal(await server.ask('connections'), 4);
    await expectClean(`/dev/nbd${index}`);
    await server.ask('disconnect', index);
  });
});
