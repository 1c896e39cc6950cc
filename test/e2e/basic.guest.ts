import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';

import { attempt, run } from '../support/programs.js';
import {
  connectByPrintedLine,
  disconnect,
  eventually,
  expectClean,
  iscsiDisks,
  logInByPrintedLines,
  logOut,
  printedLines,
  startInitiators,
} from './support/devices.js';
import { GuestAgent, mountDisk } from './support/guest-agent.js';

const MODULES = [
  'iscsi_tcp',
  'nbd',
  'ext4',
  'xfs',
  'dm_flakey',
  'dm_mod',
  'scsi_debug',
  'dm_crypt',
];
const CONTENT_BYTES = 4 * 1024 * 1024;

describe('a volume on a real kernel', () => {
  const agent = new GuestAgent();

  before(async () => {
    await mountDisk();
    await startInitiators();
    await agent.start();
  });
  after(() => agent.kill());

  it('has the modules that the specs need', async () => {
    for (const module of MODULES) await run('modprobe', '-n', module);
  });

  /** A file system of its own kind is made, filled, checked and read back on the device. */
  const useFileSystem = async (device: string, type: 'ext4' | 'xfs'): Promise<void> => {
    const mountPoint = `/mnt/${type}`;
    mkdirSync(mountPoint, { recursive: true });
    await run(`mkfs.${type}`, '-q', device);
    await run('mount', device, mountPoint);
    const content = Buffer.alloc(CONTENT_BYTES, 'what was written is read ');
    writeFileSync(`${mountPoint}/file`, content);
    await run('umount', mountPoint);
    if (type === 'ext4') await expectClean(device);
    else await run('xfs_repair', '-n', device);
    await run('mount', device, mountPoint);
    assert.ok(readFileSync(`${mountPoint}/file`).equals(content));
    await run('umount', mountPoint);
  };

  it('is a disk after the iscsiadm lines that the command line prints', async () => {
    await agent.volume('db', '128MiB');
    const disk = await logInByPrintedLines(await printedLines(agent, 'db'));
    assert.equal(await run('blockdev', '--getsize64', disk), `${128 * 1024 * 1024}\n`);
    await useFileSystem(disk, 'ext4');
    await logOut('db');
    await eventually('the disk is gone', () => (existsSync(disk) ? undefined : true));
    assert.deepEqual(iscsiDisks(), []);
    assert.equal((await attempt('iscsiadm', '-m', 'session')).code, 21, 'a session is left');
  });

  it('is a disk after the nbd-client line that the command line prints', async () => {
    await agent.volume('logs', '512MiB');
    const device = await connectByPrintedLine(await printedLines(agent, 'logs'));
    assert.equal(await run('blockdev', '--getsize64', device), `${512 * 1024 * 1024}\n`);
    await useFileSystem(device, 'xfs');
    await disconnect(device);
    assert.equal((await attempt('nbd-client', '-c', device)).code, 1, 'it is still connected');
  });

  it('is detached without force once nobody uses it', async () => {
    for (const name of ['db', 'logs']) {
      const { code, stderr } = await agent.cli('volume', 'detach', name);
      assert.equal(code, 0, stderr);
    }
  });
});
