import assert from 'node:assert/strict';
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { VolumeStageBody } from '../../src/api/types.js';
import { type ErrorCode, hasCode } from '../../src/core/errors.js';
import { attempt, run } from '../support/programs.js';
import { root } from '../support/repository.js';
import { eventually, startInitiators } from './support/devices.js';
import { DISK_MOUNT, GuestAgent, mountDisk } from './support/guest-agent.js';
import { note } from './support/messages.js';
import { replicaFilesWith, stagingTraces } from './support/traces.js';
import { leftovers } from './support/volume-host.js';

const MIB = 1024 * 1024;
const PASSPHRASE = 'correct horse battery staple';
/** Cheap to derive, as the machine is emulated. */
const ENCRYPTION = { passphrase: PASSPHRASE, pbkdf: 'pbkdf2' } as const;
const MARKER = 'a sentence that is on the disk in this form or not at all';
/** When the agent is killed, as shares of the time that staging takes. */
const KILLS = [0.2, 0.5, 0.8];

describe('staging', function () {
  this.timeout(900_000);
  const agent = new GuestAgent();
  let stagedMs = 0;
  const staging = (name: string): string => `/mnt/staging/${name}`;
  const target = (name: string, pod: string): string => `/mnt/pods/${pod}/${name}`;

  before(async () => {
    await mountDisk();
    await startInitiators();
    await agent.start();
  });
  after(() => agent.kill());

  const attach = async (name: string, size: string): Promise<void> => {
    await agent.api.createVolume({ name, size });
    await agent.api.attachVolume(name, { device: { frontend: 'iscsi' } });
  };

  const stage = (name: string, changes: Partial<VolumeStageBody> = {}) =>
    agent.api.stageVolume(name, { path: staging(name), kind: 'fileSystem', ...changes });

  const unstage = (name: string) => agent.api.unstageVolume(name, { path: staging(name) });

  const bind = (name: string, pod: string, kind: 'fileSystem' | 'block', readOnly = false) =>
    agent.api.bindVolume(name, {
      ...{ stagingPath: staging(name), targetPath: target(name, pod), kind, readOnly },
    });

  const unbind = async (name: string, pod: string): Promise<void> => {
    await agent.api.unbindVolume(name, { targetPath: target(name, pod) });
    await agent.api.unbindVolume(name, { targetPath: target(name, pod) });
    assert.equal(existsSync(target(name, pod)), false);
  };

  const refused = async (promise: Promise<unknown>, code: ErrorCode, message: RegExp) => {
    await assert.rejects(promise, { code, message });
  };

  const plaintext = (volume: string) => replicaFilesWith(MARKER, agent, volume);

  const nothingIsLeft = async (name: string): Promise<void> => {
    assert.deepEqual(await stagingTraces('/mnt/staging', '/mnt/pods'), []);
    await agent.api.detachVolume(name, {});
    assert.deepEqual(leftovers(), []);
    await agent.api.deleteVolume(name);
  };

  for (const fileSystem of ['ext4', 'xfs'] as const) {
    it(`mounts ${fileSystem} once and gives it to two users, one of whom may not write`, async () => {
      const name = fileSystem;
      await attach(name, '512MiB');
      await refused(stage(name, { fileSystem, readOnly: true }), 'FAILED_PRECONDITION', /blank/);
      const wanted = { fileSystem, mountOptions: ['noatime'] };
      const started = performance.now();
      assert.deepEqual(await stage(name, wanted), { device: `/dev/aurochs/${name}` });
      stagedMs = performance.now() - started;
      note(`${fileSystem}: staged in ${Math.round(stagedMs)} ms`);
      // The log of the file system, which is zeros, takes no space on a thin volume.
      const { allocatedBytes } = await agent.api.volume(name);
      note(`${fileSystem}: takes ${allocatedBytes} bytes`);
      assert.ok(Number(allocatedBytes) < 16 * MIB, String(allocatedBytes));
      await stage(name, wanted);
      const elsewhere = stage(name, { ...wanted, path: '/mnt/staging/elsewhere' });
      await refused(elsewhere, 'FAILED_PRECONDITION', new RegExp(staging(name)));
      await refused(stage(name, { kind: 'block' }), 'ALREADY_EXISTS', /file system mounted/);

      await bind(name, 'a', 'fileSystem');
      await bind(name, 'a', 'fileSystem');
      await bind(name, 'b', 'fileSystem', true);
      await refused(bind(name, 'a', 'fileSystem', true), 'ALREADY_EXISTS', /writable/);
      await refused(bind(name, 'c', 'block'), 'FAILED_PRECONDITION', /not staged as a block/);
      writeFileSync(`${target(name, 'a')}/file`, MARKER);
      assert.equal(readFileSync(`${target(name, 'b')}/file`, 'utf8'), MARKER);
      assert.throws(() => writeFileSync(`${target(name, 'b')}/file`, ''), { code: 'EROFS' });

      const usage = await agent.api.volumeUsage(name, target(name, 'b'));
      assert.equal(usage.kind, 'fileSystem');
      assert.equal(usage.abnormal, null);
      assert.ok(Number(usage.bytes.total) > 400 * MIB, usage.bytes.total);
      assert.ok(Number(usage.inodes?.used) >= 3);
      await refused(agent.api.volumeUsage(name, '/mnt'), 'NOT_FOUND', /neither staged nor bound/);

      await refused(unstage(name), 'BUSY', /\/mnt\/pods\/a/);
      await refused(agent.api.detachVolume(name, {}), 'BUSY', /\/mnt\/pods\/a/);
      for (const pod of ['a', 'b']) await unbind(name, pod);
      await unstage(name);
      await unstage(name);
      assert.deepEqual(readdirSync(staging(name)), []);
      assert.notDeepEqual(await plaintext(name), []); // So it would be found if it was there.
      const check = fileSystem === 'ext4' ? ['e2fsck', '-fn'] : ['xfs_repair', '-n'];
      await run(check[0] ?? '', check[1] ?? '', `/dev/aurochs/${name}`);
      await nothingIsLeft(name);
    });
  }

  it('tells when the kernel has made a file system read-only', async () => {
    await attach('broken', '64MiB');
    await stage('broken');
    await bind('broken', 'a', 'fileSystem');
    await run('mount', '-o', 'remount,abort', staging('broken'));
    await attempt('touch', `${target('broken', 'a')}/file`);
    const { abnormal } = await agent.api.volumeUsage('broken', target('broken', 'a'));
    assert.match(String(abnormal), /write|answer/);
    note(`aborted: ${abnormal}`);
    await unbind('broken', 'a');
    await unstage('broken');
    await nothingIsLeft('broken');
  });

  it('gives a block device as it is, and never takes it for a file system', async () => {
    await attach('raw', '64MiB');
    await stage('raw', { kind: 'block' });
    await stage('raw', { kind: 'block' });
    await refused(stage('raw'), 'ALREADY_EXISTS', /as a block device/);
    const mount = agent.api.mountVolume('raw', { mountPoint: '/mnt/raw' });
    await refused(mount, 'FAILED_PRECONDITION', /as a block device/);
    await bind('raw', 'a', 'block');
    await bind('raw', 'a', 'block');
    await refused(bind('raw', 'b', 'block', true), 'UNSUPPORTED', /read-only mount/);
    assert.ok(lstatSync(target('raw', 'a')).isBlockDevice());
    const dd = [`of=${target('raw', 'a')}`, 'bs=1M', 'count=1', 'conv=fsync'];
    await run('dd', 'if=/dev/urandom', ...dd);
    const usage = await agent.api.volumeUsage('raw', target('raw', 'a'));
    assert.equal(usage.kind, 'block');
    assert.equal(usage.bytes.total, String(64 * MIB));
    await agent.kill();
    await agent.start();
    await refused(unstage('raw'), 'BUSY', /\/mnt\/pods\/a/);
    await refused(agent.api.detachVolume('raw', {}), 'BUSY', /\/mnt\/pods\/a/);
    await unbind('raw', 'a');
    await unstage('raw');
    await refused(stage('raw'), 'FAILED_PRECONDITION', /no file system known to blkid/);
    await nothingIsLeft('raw');
  });

  it('gives a block device read-only when the volume is attached so', async () => {
    await agent.api.createVolume({ name: 'ro', size: '64MiB' });
    await agent.api.attachVolume('ro', { device: { frontend: 'iscsi' }, readOnly: true });
    await stage('ro', { kind: 'block' });
    await bind('ro', 'a', 'block');
    const { code } = await attempt('dd', 'if=/dev/zero', `of=${target('ro', 'a')}`, 'count=1');
    assert.notEqual(code, 0);
    await unbind('ro', 'a');
    await unstage('ro');
    await nothingIsLeft('ro');
  });

  it('encrypts, grows what is mounted, and leaves no plaintext', async () => {
    await attach('secret', '256MiB');
    const started = performance.now();
    const staged = await stage('secret', { encryption: ENCRYPTION });
    note(`LUKS: staged in ${Math.round(performance.now() - started)} ms`);
    assert.deepEqual(staged, { device: '/dev/mapper/aurochs-secret' });
    await stage('secret', { encryption: ENCRYPTION });
    await bind('secret', 'a', 'fileSystem');
    writeFileSync(`${target('secret', 'a')}/file`, MARKER.repeat(1000));
    assert.deepEqual(await plaintext('secret'), []);

    const before = (await statfs(target('secret', 'a'))).blocks;
    await agent.api.expandVolume('secret', { size: '384MiB' });
    const grown = await agent.api.growStaged('secret', { path: target('secret', 'a') });
    assert.equal(grown.sizeBytes, String(384 * MIB));
    assert.ok((await statfs(target('secret', 'a'))).blocks > before * 1.4);
    await refused(agent.api.detachVolume('secret', {}), 'BUSY', /aurochs-secret/);

    await unbind('secret', 'a');
    await unstage('secret');
    assert.equal((await run('dmsetup', 'ls')).trim(), 'No devices found');
    const wrong = { encryption: { passphrase: 'another' } };
    await refused(stage('secret', wrong), 'PERMISSION_DENIED', /opens none of its key slots/);
    await refused(stage('secret'), 'FAILED_PRECONDITION', /encrypted/);
    await refused(stage('secret', { kind: 'block' }), 'FAILED_PRECONDITION', /is encrypted/);
    await stage('secret', { encryption: ENCRYPTION, readOnly: true });
    assert.match(readFileSync(`${staging('secret')}/file`, 'utf8'), new RegExp(MARKER));
    await unstage('secret');
    assert.doesNotMatch(agent.log, new RegExp(PASSPHRASE));
    await nothingIsLeft('secret');
  });

  it('encrypts a block device, also for one who may only read', async () => {
    await attach('secret-raw', '64MiB');
    const block = { kind: 'block', encryption: ENCRYPTION } as const;
    await stage('secret-raw', block);
    await bind('secret-raw', 'a', 'block');
    await run('sh', '-c', `echo '${MARKER}' > ${target('secret-raw', 'a')} && sync`);
    assert.deepEqual(await plaintext('secret-raw'), []);
    await unbind('secret-raw', 'a');
    await unstage('secret-raw');
    await refused(stage('secret-raw', { encryption: ENCRYPTION }), 'FAILED_PRECONDITION', /holds/);
    await stage('secret-raw', { ...block, readOnly: true });
    await bind('secret-raw', 'a', 'block', true);
    const read = await run('head', '-c', String(MARKER.length), target('secret-raw', 'a'));
    assert.equal(read, MARKER);
    const write = await attempt('sh', '-c', `echo x > ${target('secret-raw', 'a')}`);
    assert.notEqual(write.code, 0);
    await unbind('secret-raw', 'a');
    await unstage('secret-raw');
    await nothingIsLeft('secret-raw');
  });

  for (const encryption of [undefined, ENCRYPTION]) {
    const name = encryption === undefined ? 'killed' : 'killed-secret';
    it(`is finished by repeating it after kills of the agent: ${name}`, async () => {
      await attach(name, '512MiB');
      const wanted = {
        fileSystem: 'xfs',
        ...(encryption === undefined ? {} : { encryption }),
      } as const;
      for (const share of KILLS) {
        const ms = Math.round(share * stagedMs);
        const staged = stage(name, wanted).then(
          () => 'staged',
          () => 'cut off',
        );
        await sleep(ms);
        await agent.kill();
        note(`${name}: killed after ${ms} ms, ${await staged}`);
        await agent.start();
        await eventually('it has its device again', async () => {
          const { device, state } = await agent.api.volume(name);
          return device !== null && state === 'attached' ? true : undefined;
        });
      }
      await eventually('what the last one has begun has come to its end', () =>
        stage(name, wanted).catch((error: unknown) => {
          if (!hasCode(error, 'BUSY')) throw error;
          return undefined;
        }),
      );
      writeFileSync(`${staging(name)}/file`, MARKER);
      await unstage(name);
      await stage(name, wanted);
      assert.equal(readFileSync(`${staging(name)}/file`, 'utf8'), MARKER);
      await unstage(name);
      await nothingIsLeft(name);
    });
  }

  it('is let go of at a shutdown, while the agent still serves', async () => {
    await attach('last', '64MiB');
    await stage('last', { encryption: ENCRYPTION });
    await bind('last', 'a', 'fileSystem');
    await run('sh', join(root, 'systemd/release-devices'));
    assert.equal((await run('dmsetup', 'ls')).trim(), 'No devices found');
    assert.doesNotMatch(readFileSync('/proc/self/mountinfo', 'utf8'), /\/mnt\/(staging|pods)/);
  });

  it('leaves nothing in the directory for images', () => {
    assert.deepEqual(readdirSync(`${DISK_MOUNT}/aurochs/images`), []);
  });
});
