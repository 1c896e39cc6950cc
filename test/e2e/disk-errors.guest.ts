import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

import type { Frontend } from '../../src/api/types.js';
import { attempt, run } from '../support/programs.js';
import { startInitiators } from './support/devices.js';
import { FaultyDisk } from './support/faulty-disk.js';
import { GuestAgent, mountDisk } from './support/guest-agent.js';

const MIB = 1024 * 1024;
const DISK_BYTES = 160 * MIB;
const CONTENT = '/tmp/content';
/**
 * The kernel's NBD client has one error for all that a server may answer: every command that fails becomes
 * BLK_STS_IOERR (drivers/block/nbd.c, Linux 6.1).
 */
const NO_SPACE: Record<Frontend, RegExp> = {
  iscsi: /No space left on device/,
  nbd: /Input\/output error/,
};

describe('an error of the disk below', () => {
  const agent = new GuestAgent();
  const disk = new FaultyDisk('lower', DISK_BYTES);

  before(async () => {
    await mountDisk();
    await startInitiators();
    await disk.create();
    await agent.start();
    await agent.api.addDisk({ path: disk.mountPoint });
    writeFileSync(CONTENT, Buffer.alloc(MIB, 'what was flushed before the error '));
  });
  after(() => agent.kill());

  const attach = async (name: string, frontend: Frontend): Promise<string> => {
    const { device } = await agent.api.attachVolume(name, { device: { frontend } });
    assert.ok(device !== null);
    return device.path;
  };

  /** An application that writes around the page cache, flushes, and says what the kernel answered. */
  const write = (to: string, ...more: string[]) =>
    attempt('dd', `of=${to}`, 'bs=64k', 'oflag=direct', 'conv=fsync,notrunc', ...more);
  const read = (from: string) =>
    attempt('dd', `if=${from}`, 'of=/tmp/read', 'bs=64k', 'count=16', 'iflag=direct');
  const expectContent = async (device: string): Promise<void> => {
    const { code, stderr } = await read(device);
    assert.equal(code, 0, stderr);
    assert.ok(readFileSync('/tmp/read').equals(readFileSync(CONTENT)));
  };

  for (const frontend of ['iscsi', 'nbd'] satisfies Frontend[]) {
    describe(`over ${frontend}`, () => {
      const name = `db-${frontend}`;
      let device: string;

      before(async () => {
        await agent.api.createVolume({ name, size: '64MiB', disk: disk.mountPoint });
        device = await attach(name, frontend);
        const { code, stderr } = await write(device, `if=${CONTENT}`);
        assert.equal(code, 0, stderr);
      });
      after(async () => {
        await agent.api.detachVolume(name, {});
        await agent.api.deleteVolume(name);
      });

      it('reaches the application as EIO when it reads, until the disk is well again', async () => {
        await run('sync');
        writeFileSync('/proc/sys/vm/drop_caches', '3');
        await disk.fail();
        const failed = await read(device);
        assert.notEqual(failed.code, 0);
        assert.match(failed.stderr, /Input\/output error/);
        await disk.mend();
        await expectContent(device);
      });

      it('reaches the application as ENOSPC when the disk is full, until it is not', async () => {
        const filler = `${disk.mountPoint}/filler`;
        const filled = await attempt('dd', 'if=/dev/zero', `of=${filler}`, 'bs=64k');
        assert.match(filled.stderr, /No space left on device/);
        const fill = ['if=/dev/urandom', 'count=64', 'seek=32'];
        const failed = await write(device, ...fill);
        assert.notEqual(failed.code, 0);
        assert.match(failed.stderr, NO_SPACE[frontend]);
        await run('rm', filler);
        const { code, stderr } = await write(device, ...fill);
        assert.equal(code, 0, stderr);
        await expectContent(device);
      });

      it('reaches the application as EIO when it flushes, and the volume takes no more writes', async () => {
        await disk.failWrites();
        const failed = await write(device, 'if=/dev/zero', 'count=1', 'seek=512');
        assert.notEqual(failed.code, 0);
        assert.match(failed.stderr, /Input\/output error/);
        await disk.mend();
        // The disk says that it is well again, but what it lost stays lost (D4).
        const later = await write(device, 'if=/dev/zero', 'count=1', 'seek=513');
        assert.match(later.stderr, /Input\/output error/);
        const { robustness, problem } = await agent.api.volume(name);
        assert.equal(robustness, 'faulted');
        assert.ok(problem?.hint);
      });

      it('is over once somebody has detached the volume, who accepts what was lost', async () => {
        await agent.api.detachVolume(name, {});
        await disk.remount();
        device = await attach(name, frontend);
        const { code, stderr } = await write(device, 'if=/dev/zero', 'count=1', 'seek=512');
        assert.equal(code, 0, stderr);
        await expectContent(device);
        assert.equal((await agent.api.volume(name)).robustness, 'healthy');
      });
    });
  }
});
