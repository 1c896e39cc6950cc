import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { HostDevices } from '../../src/node/devices.js';
import type { HostFileSystems } from '../../src/node/file-systems.js';
import type { Frontend } from '../../src/volume/model.js';
import type { FileSystemType } from '../../src/volume/ports.js';
import { RunningProgram, attempt, run } from '../support/programs.js';
import { root } from '../support/repository.js';
import { eventually } from './support/devices.js';
import { mountDisk } from './support/guest-agent.js';
import { note } from './support/messages.js';
import { VolumeHost, leftovers } from './support/volume-host.js';

const MIB = 1024n * 1024n;
const SIZE_BYTES = 512n * MIB;
const GROWN_BYTES = 768n * MIB;
const TREE = join(root, 'native');
const FILE_MIB = 64;
const WAYS: readonly [Frontend, FileSystemType][] = [
  ['iscsi', 'ext4'],
  ['iscsi', 'xfs'],
  ['nbd', 'ext4'],
  ['nbd', 'xfs'],
];

async function fileSystemBytes(mountPoint: string): Promise<bigint> {
  const [blocks = '0', bytes = '0'] = (await run('stat', '-f', '-c', '%b %S', mountPoint)).split(
    ' ',
  );
  return BigInt(blocks) * BigInt(bytes);
}

async function expectClean(type: FileSystemType, device: string): Promise<void> {
  if (type === 'ext4') await run('e2fsck', '-f', '-n', device);
  else await run('xfs_repair', '-n', device);
}

/** The process that waits with a frozen file system: a shell with fsfreeze in its script. */
function freezerPid(): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const line = existsSync(`/proc/${pid}/cmdline`)
      ? readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      : '';
    if (line.startsWith('sh\0-c\0') && line.includes('fsfreeze --freeze')) return Number(pid);
  }
  throw new Error('nobody freezes');
}

before(async () => {
  await mountDisk();
  await run('iscsid');
});

for (const [frontend, type] of WAYS) {
  describe(`a volume over ${frontend} with ${type}`, function () {
    this.timeout(300_000);
    const name = `${frontend}-${type}`;
    const mountPoint = `/mnt/${name}`;
    const host = new VolumeHost();
    let devices: HostDevices;
    let fileSystems: HostFileSystems;

    before(async () => {
      await host.start();
      await host.create(name, SIZE_BYTES);
      devices = host.devices();
      fileSystems = host.fileSystems(devices);
    });
    after(() => host.stop());

    const mount = () =>
      fileSystems.mount({
        volume: name,
        volumeId: name,
        mountPoint,
        fileSystem: type,
        readOnly: false,
        options: [],
      });

    it('is a device with a name of its own, attached twice as well as once', async () => {
      const attached = await devices.attach(host.request(name, frontend));
      assert.equal(attached.path, `/dev/aurochs/${name}`);
      assert.equal((await run('readlink', '-f', attached.path)).trim(), attached.kernelPath);
      const size = await run('blockdev', '--getsize64', attached.path);
      assert.equal(BigInt(size.trim()), SIZE_BYTES);
      assert.deepEqual(await devices.attach(host.request(name, frontend)), attached);
      assert.deepEqual(await devices.find(name), attached);
    });

    it('is formatted and holds a real tree', async () => {
      await mount();
      await mount();
      await run('cp', '-a', TREE, `${mountPoint}/tree`);
      await fileSystems.unmount(name);
      await expectClean(type, `/dev/aurochs/${name}`);
      await mount();
      const { code, stdout } = await attempt(
        'diff',
        '-r',
        '--no-dereference',
        TREE,
        `${mountPoint}/tree`,
      );
      assert.equal(code, 0, stdout);
    });

    it('waits while nobody serves it, and goes on', async () => {
      await host.stop();
      const args = ['if=/dev/zero', `of=${mountPoint}/late`, 'bs=1M', 'count=4', 'conv=fsync'];
      const writer = new RunningProgram('dd', args);
      await host.start();
      const started = performance.now();
      await devices.attach(host.request(name, frontend));
      await writer.succeeded();
      note(`${name}: went on ${Math.round(performance.now() - started)} ms after it was served`);
    });

    it('grows while it is mounted', async () => {
      const before = await fileSystemBytes(mountPoint);
      await host.expand(name, GROWN_BYTES);
      await devices.grow(name, GROWN_BYTES);
      const after = await fileSystemBytes(mountPoint);
      assert.ok(after - before > ((GROWN_BYTES - SIZE_BYTES) * 9n) / 10n, `${before} ${after}`);
    });

    it('gives space back when it is trimmed', async () => {
      const file = `${mountPoint}/large`;
      const count = `count=${FILE_MIB}`;
      await run('dd', 'if=/dev/urandom', `of=${file}`, 'bs=1M', count, 'conv=fsync');
      const full = (await host.volume(name).describe()).headAllocatedBytes;
      await run('rm', file);
      await run('sync', '-f', mountPoint);
      const trimmed = await fileSystems.trim(name);
      const freed = full - (await host.volume(name).describe()).headAllocatedBytes;
      assert.ok(trimmed >= BigInt(FILE_MIB) * MIB, `${trimmed} trimmed`);
      assert.ok(freed > (BigInt(FILE_MIB) * MIB * 9n) / 10n, `${freed} freed`);
    });

    it('is still while it is frozen, and only then', async () => {
      const thaw = await devices.freeze(name);
      const writer = new RunningProgram('dd', ['if=/dev/zero', `of=${mountPoint}/f`, 'count=1']);
      await eventually('the writer waits for the file system', () => {
        const { pid } = writer.child;
        const state = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1];
        return state?.startsWith('D') === true ? true : undefined;
      });
      assert.equal(await thaw(), true);
      await writer.succeeded();
    });

    it('thaws when the process that holds it still is killed', async () => {
      const thaw = await devices.freeze(name);
      process.kill(freezerPid(), 'SIGKILL');
      assert.equal(await thaw(), false);
      writeFileSync(`${mountPoint}/thawed`, '');
    });

    it('is not taken away while it is mounted, and the error says where', async () => {
      await assert.rejects(devices.detach(name, false), {
        code: 'BUSY',
        message: new RegExp(`mounted at ${mountPoint}`),
      });
      assert.deepEqual(await devices.users(name), { mountPoints: [mountPoint], holders: [] });
    });

    it('is not unmounted while it is used, and the error says by whom', async () => {
      const user = new RunningProgram('sh', ['-c', `cd ${mountPoint} && exec sleep 60`]);
      await eventually('the user is there', () => {
        const { pid } = user.child;
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep') ? true : undefined;
      });
      await assert.rejects(fileSystems.unmount(name), { code: 'BUSY', message: /sleep \(\d+\)/ });
      user.child.kill('SIGKILL');
      await user.result;
    });

    it('is clean when it is unmounted, and leaves nothing when it is detached', async () => {
      await fileSystems.unmount(name);
      await expectClean(type, `/dev/aurochs/${name}`);
      await devices.detach(name, false);
      assert.deepEqual(leftovers(), []);
      assert.equal(await devices.find(name), null);
      await devices.detach(name, false);
    });
  });
}
