import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import type { VolumeBody } from '../../src/api/types.js';
import { AgentProcess, uriOf } from '../support/agent-process.js';
import { type ProgramResult, attempt, run } from '../support/programs.js';
import { Scratch } from '../support/scratch.js';

describe('a disk', function () {
  this.timeout(120_000);

  let scratch: Scratch;
  let agent: AgentProcess;
  let disk: string;
  beforeEach(async function () {
    scratch = new Scratch();
    disk = scratch.file('disk');
    mkdirSync(disk);
    try {
      scratch.mountTmpfs(disk, 'size=24m');
    } catch (error) {
      console.log(`      skipped: this user may not mount (${(error as Error).message.trim()})`);
      scratch.remove();
      this.skip();
    }
    agent = await new AgentProcess(scratch).start();
  });
  afterEach(async () => {
    await agent.kill();
    scratch.remove();
  });

  const volumeOnDisk = async (name: string, size: string): Promise<VolumeBody> => {
    const created = await agent.cli('volume', 'create', name, '--size', size, '--disk', disk);
    assert.equal(created.code, 0, created.stderr);
    return agent.api.attachVolume(name, {});
  };
  const qemuIo = (volume: VolumeBody, ...commands: string[]): Promise<ProgramResult> => {
    const args = commands.flatMap((command) => ['-c', command]);
    return attempt('qemu-io', '-f', 'raw', ...args, uriOf(volume, 'nbd'));
  };

  it('that is full says so to the one who writes, keeps what is there, and recovers', async () => {
    assert.equal((await agent.cli('disk', 'add', disk)).code, 0);
    const other = await agent.volume('elsewhere', '64MiB');
    const first = await volumeOnDisk('first', '256MiB');
    const second = await volumeOnDisk('second', '256MiB');
    await run('qemu-io', '-f', 'raw', '-c', 'write -P 1 0 8M', uriOf(first, 'nbd'));
    const full = await qemuIo(second, 'write -P 2 0 32M', 'flush');
    assert.match(`${full.stdout}${full.stderr}`, /No space left on device/);
    const again = await qemuIo(
      second,
      'write -P 2 64M 8M',
      'write -P 2 80M 8M',
      'write -P 2 96M 8M',
    );
    assert.match(`${again.stdout}${again.stderr}`, /No space left on device/);

    const args = ['-c', 'read -P 1 0 8M'];
    await run('qemu-io', '-f', 'raw', ...args, uriOf(first, 'nbd'));
    await run('qemu-io', '-f', 'raw', '-c', 'write -P 3 0 1M', uriOf(other, 'nbd'));
    await agent.api.detachVolume('second', {});
    assert.equal((await agent.cli('volume', 'rm', 'second')).code, 0);
    await run(
      'qemu-io',
      '-f',
      'raw',
      '-c',
      'write -P 4 16M 8M',
      '-c',
      'flush',
      uriOf(first, 'nbd'),
    );
    await run('qemu-io', '-f', 'raw', ...args, '-c', 'read -P 4 16M 8M', uriOf(first, 'nbd'));
  });

  it('without room for a snapshot refuses it and leaves the volume as it was', async () => {
    assert.equal((await agent.cli('disk', 'add', disk)).code, 0);
    const volume = await volumeOnDisk('db', '256MiB');
    await run('qemu-io', '-f', 'raw', '-c', 'write -P 1 0 4M', '-c', 'flush', uriOf(volume, 'nbd'));
    execFileSync('sh', ['-c', `cat /dev/zero > ${disk}/ballast 2>/dev/null || true`]);
    const created = await agent.cli('snapshot', 'create', 'db', 'none');
    assert.equal(created.code, 8, created.stdout + created.stderr);
    assert.deepEqual(await agent.api.snapshots('db'), []);
    execFileSync('rm', [join(disk, 'ballast')]);
    assert.equal((await agent.cli('snapshot', 'create', 'db', 'one')).code, 0);
    await run('qemu-io', '-f', 'raw', '-c', 'read -P 1 0 4M', uriOf(volume, 'nbd'));
  });

  it('that is read-only refuses volumes, snapshots and writes, and goes on when it is not', async () => {
    assert.equal((await agent.cli('disk', 'add', disk)).code, 0);
    const volume = await volumeOnDisk('db', '64MiB');
    await run('qemu-io', '-f', 'raw', '-c', 'write -P 1 0 1M', '-c', 'flush', uriOf(volume, 'nbd'));
    await agent.api.detachVolume('db', {});
    execFileSync('mount', ['-o', 'remount,ro', disk]);
    const before = readdirSync(join(disk, 'replicas'));
    const created = await agent.cli('volume', 'create', 'new', '--size', '1MiB', '--disk', disk);
    assert.equal(created.code, 7, created.stdout + created.stderr);
    assert.match(created.stderr, new RegExp(disk));
    const names = (await agent.api.volumes()).map(({ name }) => name);
    assert.deepEqual([names, readdirSync(join(disk, 'replicas'))], [['db'], before]);

    execFileSync('mount', ['-o', 'remount,rw', disk]);
    const back = await agent.api.attachVolume('db', {});
    await run('qemu-io', '-f', 'raw', '-c', 'read -P 1 0 1M', uriOf(back, 'nbd'));
  });

  it('is refused when it is read-only or cannot do what replicas need, and nothing is left in it', async () => {
    execFileSync('mount', ['-o', 'remount,ro', disk]);
    const readOnly = await agent.cli('disk', 'add', disk);
    assert.equal(readOnly.code, 7, readOnly.stdout + readOnly.stderr);
    assert.match(readOnly.stderr, new RegExp(disk));
    const unfit = scratch.file('unfit');
    mkdirSync(unfit);
    scratch.mountRamfs(unfit); // It cannot punch holes.
    const refused = await agent.cli('disk', 'add', unfit);
    assert.equal(refused.code, 14, refused.stdout + refused.stderr);
    assert.match(refused.stderr, new RegExp(unfit));
    assert.deepEqual(readdirSync(unfit), []);
    assert.equal((await agent.api.disks()).length, 1);
  });
});
