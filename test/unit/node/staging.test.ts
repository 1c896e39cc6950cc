import assert from 'node:assert/strict';
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';

import { AurochsError, type ErrorCode } from '../../../src/core/errors.js';
import { encodeTag } from '../../../src/node/format-tag.js';
import { HostFileSystems } from '../../../src/node/file-systems.js';
import { HostStaging } from '../../../src/node/staging.js';
import type { BindRequest, StageRequest } from '../../../src/volume/ports.js';
import { DEVICE, DEVICE_BYTES, FileHost } from './file-host.js';
import { failure } from './scripted-host.js';

const MIB = 1024 * 1024;
const PATH = '/var/lib/staging/db';
const NAMES = { volume: 'db', volumeId: 'id-of-db' };
const ENCRYPTION = { passphrase: 'correct horse', pbkdf: 'pbkdf2' } as const;
const RECORD = '/run/aurochs/staged/db.json';

describe('HostStaging', function () {
  this.timeout(60_000);
  let machine: FileHost;
  let staging: HostStaging;

  beforeEach(() => {
    machine = new FileHost();
    staging = new HostStaging(machine.host, machine.devices, machine.images);
  });
  afterEach(() => machine.scratch.remove());

  const stage = (changes: Partial<StageRequest> = {}) =>
    staging.stage({
      ...NAMES,
      path: PATH,
      kind: 'fileSystem',
      fileSystem: 'ext4',
      formatOptions: [],
      mountOptions: [],
      readOnly: false,
      encryption: null,
      ...changes,
    });

  const bind = (pod: string, changes: Partial<BindRequest> = {}) =>
    staging.bind({
      ...NAMES,
      stagingPath: PATH,
      targetPath: `/pods/${pod}/db`,
      kind: 'fileSystem',
      readOnly: false,
      exclusive: false,
      mountOptions: [],
      ...changes,
    });

  const refused = async (
    promise: Promise<unknown>,
    code: ErrorCode,
    message: RegExp,
  ): Promise<void> => {
    const error: unknown = await promise.catch((thrown: unknown) => thrown);
    assert.ok(error instanceof AurochsError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.ok(error.hint, 'no next step');
  };

  const overwrite = (offset: number, bytes: Buffer): void => {
    const file = openSync(machine.at(DEVICE), 'r+');
    writeSync(file, bytes, 0, bytes.length, offset);
    closeSync(file);
  };

  /** As a kill after the tag was written leaves it. */
  const leaveTag = (volumeId: string): void => {
    overwrite(0, encodeTag(volumeId, Buffer.alloc(MIB)));
  };

  describe('of a file system', () => {
    it('formats, makes the directories, mounts; again it changes nothing', async () => {
      assert.equal(await stage({ formatOptions: ['-m', '0'], mountOptions: ['noatime'] }), DEVICE);
      assert.equal(await stage({ formatOptions: ['-m', '0'], mountOptions: ['noatime'] }), DEVICE);
      assert.equal(machine.ran('mkfs.ext4').length, 1);
      assert.deepEqual(machine.ran('mount'), [
        ['mount', '-t', 'ext4', '-o', 'rw,_netdev,noatime', '--', DEVICE, PATH],
      ]);
    });

    it('needs a device', async () => {
      machine.attached = false;
      await refused(stage(), 'FAILED_PRECONDITION', /no device on this machine/);
    });

    it('is refused elsewhere', async () => {
      await stage();
      const elsewhere = { path: '/other' };
      await refused(stage(elsewhere), 'FAILED_PRECONDITION', /mounted at \/var\/lib/);
      const block = { ...elsewhere, kind: 'block' } as const;
      await refused(stage(block), 'FAILED_PRECONDITION', /mounted at \/var\/lib/);
    });

    it('exists already when it is there as another type or kind, writable or encrypted', async () => {
      await stage();
      await refused(stage({ fileSystem: 'xfs' }), 'ALREADY_EXISTS', /as ext4, not xfs/);
      await refused(stage({ readOnly: true }), 'ALREADY_EXISTS', /writable already/);
      await refused(stage({ kind: 'block' }), 'ALREADY_EXISTS', /file system mounted/);
      await refused(stage({ encryption: ENCRYPTION }), 'ALREADY_EXISTS', /is not encrypted/);
    });

    it('is undone when mounting fails, and done when the cause is gone', async () => {
      machine.failing.set('mount', failure('mount', ['-o', 'secret'], 32, 'mount: no.\n'));
      await refused(stage(), 'FAILED_PRECONDITION', /mount: no/);
      assert.equal(machine.exists(PATH), false);
      machine.failing.clear();
      await stage();
    });

    it('is undone when the file system does not grow, also what was opened for it', async () => {
      for (const encryption of [null, ENCRYPTION]) {
        machine.failing.set('resize2fs', failure('resize2fs', [], 1, 'resize2fs: no.\n'));
        await refused(stage({ encryption }), 'IO', /did not grow/);
        assert.deepEqual(machine.mountPoints(), []);
        assert.equal(machine.exists(PATH) || machine.exists('/sys/block/dm-0'), false);
        machine.failing.clear();
        await stage({ encryption });
        await staging.unstage('db', PATH);
        machine.remove(PATH);
        machine.wipe();
      }
    });

    it('finishes the format of a killed agent, but not that of another volume', async () => {
      leaveTag('id-of-db');
      await stage();
      await staging.unstage('db', PATH);
      machine.wipe();
      leaveTag('id-of-the-original');
      await refused(stage(), 'FAILED_PRECONDITION', /begun for another volume/);
    });

    it('refuses what was written raw after a format had been cut off', async () => {
      leaveTag('id-of-db');
      overwrite(64 * 1024, Buffer.from('precious'));
      await refused(stage(), 'FAILED_PRECONDITION', /written after a format/);
      assert.equal(readFileSync(machine.at(DEVICE)).includes('precious'), true);
    });

    it('is taken back, also when it was never staged; the directory stays', async () => {
      await staging.unstage('db', PATH);
      await stage();
      await staging.unstage('db', '/not/here');
      assert.deepEqual(machine.mountPoints(), [PATH]);
      await staging.unstage('db', PATH);
      await staging.unstage('db', PATH);
      assert.deepEqual(machine.mountPoints(), []);
      assert.ok(machine.exists(PATH));
    });

    it('refuses options that mkfs or mount must not get before anything is done', async () => {
      await refused(stage({ formatOptions: ['-F'] }), 'INVALID_ARGUMENT', /"-F"/);
      await refused(stage({ mountOptions: ['loop'] }), 'INVALID_ARGUMENT', /"loop"/);
      assert.equal(machine.exists(PATH), false);
    });
  });

  describe('for users', () => {
    it('is bound once for each, writable or not, and goes with its directory', async () => {
      await refused(bind('a'), 'FAILED_PRECONDITION', /not staged as a file system/);
      await stage();
      await bind('a', { mountOptions: ['nosuid', 'discard'] });
      await bind('a');
      await bind('b', { readOnly: true });
      await bind('b', { readOnly: true });
      assert.deepEqual(machine.ran('mount').slice(1), [
        ['mount', '-o', 'bind,nosuid', '--', PATH, '/pods/a/db'],
        ['mount', '-o', 'bind,ro', '--', PATH, '/pods/b/db'],
      ]);
      await refused(bind('b'), 'ALREADY_EXISTS', /read-only|, ro/);
      await refused(bind('c', { kind: 'block' }), 'FAILED_PRECONDITION', /as a block device/);
      await refused(staging.unstage('db', PATH), 'BUSY', /\/pods\/a\/db, \/pods\/b\/db/);
      for (const pod of ['a', 'b', 'b']) await staging.unbind('db', `/pods/${pod}/db`);
      assert.equal(machine.exists('/pods/a/db'), false);
      await staging.unstage('db', PATH);
    });

    it('is bound for one user alone when that is asked for', async () => {
      await stage();
      await bind('a', { exclusive: true });
      await bind('a', { exclusive: true });
      const second = bind('b', { exclusive: true });
      await refused(second, 'FAILED_PRECONDITION', /alone, and is at \/pods\/a\/db/);
      await staging.unbind('db', '/pods/a/db');
      await bind('b', { exclusive: true });
      await bind('c');
    });

    it('of a read-only staging is read-only, whatever is asked for', async () => {
      await stage();
      await staging.unstage('db', PATH);
      await stage({ readOnly: true });
      await bind('a');
      await bind('a', { readOnly: true });
      assert.deepEqual(machine.ran('mount').at(-1)?.[2], 'bind,ro');
    });

    it('is unbound where it is stacked, or its device is gone, but not where others are', async () => {
      await stage();
      await bind('a');
      machine.entry('/pods/a/db', '8:0');
      await staging.unbind('db', '/pods/a/db');
      mkdirSync(machine.at('/pods/dead'));
      machine.entry('/pods/dead', '8:96');
      await staging.unbind('db', '/pods/dead');
      mkdirSync(machine.at('/sys/dev/block/8:16'));
      machine.entry('/pods/others', '8:16', 'xfs');
      await refused(staging.unbind('db', '/pods/others'), 'FAILED_PRECONDITION', /not its own/);
      await staging.unbind('db', '/no/such/place');
      assert.deepEqual(machine.mountPoints(), [PATH, '/pods/others']);
    });

    it('leaves what holds something where it is', async () => {
      await stage();
      await bind('a');
      machine.write('/pods/a/db/file', 'precious');
      await refused(staging.unbind('db', '/pods/a/db'), 'FAILED_PRECONDITION', /not empty/);
      assert.deepEqual(machine.mountPoints(), [PATH]);
      machine.remove('/pods/a/db/file');
      await staging.unbind('db', '/pods/a/db');
      assert.equal(machine.exists('/pods/a/db'), false);
    });

    it('leaves what it was never bound at, be it empty', async () => {
      machine.write('/disk/replica/lock', '');
      mkdirSync(machine.at('/empty'));
      for (const path of ['/disk/replica/lock', '/empty']) {
        await staging.unbind('db', path);
        assert.ok(machine.exists(path));
      }
      await refused(bind('a'), 'FAILED_PRECONDITION', /not staged/);
      mkdirSync(machine.at('/pods/a/db'), { recursive: true });
      await staging.unbind('db', '/pods/a/db');
      assert.ok(machine.exists('/pods/a/db'));
    });

    it('is unbound by repeating when the agent was killed between unmounting and removing', async () => {
      await stage();
      await bind('a');
      await machine.host.run('umount', ['--', '/pods/a/db']);
      await staging.unbind('db', '/pods/a/db');
      assert.equal(machine.exists('/pods/a/db'), false);
      mkdirSync(machine.at('/pods/a/db'));
      await staging.unbind('db', '/pods/a/db');
      assert.ok(machine.exists('/pods/a/db'), 'of somebody else by now');
    });

    it('tells how full it is, and what is wrong', async () => {
      await stage();
      await bind('a');
      const sound = await staging.usage('db', '/pods/a/db');
      assert.ok(sound.totalBytes > 0n && sound.inodes !== null);
      assert.equal(sound.abnormal, null);
      await refused(staging.usage('db', '/pods/b/db'), 'NOT_FOUND', /neither staged nor bound/);
      const table = machine.read('/proc/1/mountinfo');
      machine.write('/proc/1/mountinfo', table.replaceAll('x rw', 'x ro'));
      assert.match((await staging.usage('db', PATH)).abnormal ?? '', /nobody write/);
      machine.attached = false;
      machine.remove('/sys/dev/block/8:0');
      assert.match((await staging.usage('db', PATH)).abnormal ?? '', /device is gone/);
    });
  });

  describe('of a block device', () => {
    const block = { kind: 'block' } as const;

    it('writes nothing and survives the agent', async () => {
      assert.equal(await stage(block), DEVICE);
      assert.ok(readFileSync(machine.at(DEVICE)).every((byte) => byte === 0));
      const next = new HostStaging(machine.host, machine.devices, machine.images);
      await refused(next.stage({ ...NAMES, ...FS, path: PATH }), 'ALREADY_EXISTS', /block/);
      await refused(stage({ path: '/other' }), 'FAILED_PRECONDITION', /block/);
      await refused(stage({ ...block, encryption: ENCRYPTION }), 'ALREADY_EXISTS', /is not enc/);
      assert.equal(await stage(block), DEVICE);
      await refused(stage({ ...block, path: '/other' }), 'FAILED_PRECONDITION', /at \/var\/lib/);
      const fileSystems = new HostFileSystems(machine.host, machine.devices, machine.images);
      const mount = fileSystems.mount({
        ...NAMES,
        ...{ mountPoint: '/srv/db', fileSystem: 'ext4', readOnly: false, options: [] },
      });
      await refused(mount, 'FAILED_PRECONDITION', /as a block device/);
      await staging.unstage('db', PATH);
      assert.equal(machine.exists(RECORD), false);
    });

    it('is bound on a file', async () => {
      await stage(block);
      await bind('a', block);
      await bind('a', block);
      assert.deepEqual(machine.ran('mount'), [
        ['mount', '-o', 'bind', '--', '/dev/sda', '/pods/a/db'],
      ]);
      await refused(bind('b', { ...block, readOnly: true }), 'UNSUPPORTED', /stops nobody/);
      await refused(bind('b'), 'FAILED_PRECONDITION', /not staged as a file system/);
      await refused(staging.unstage('db', PATH), 'BUSY', /\/pods\/a\/db/);
      const { kind, totalBytes } = await staging.usage('db', '/pods/a/db');
      assert.deepEqual([kind, totalBytes], ['block', BigInt(DEVICE_BYTES)]);
      await staging.unbind('db', '/pods/a/db');
      assert.equal(machine.exists('/pods/a/db'), false);
    });

    it('is bound for one user alone when that is asked for', async () => {
      await stage({ kind: 'block' });
      const alone = { kind: 'block', exclusive: true } as const;
      await bind('a', alone);
      await bind('a', alone);
      await refused(bind('b', alone), 'FAILED_PRECONDITION', /alone/);
      await staging.unbind('db', '/pods/a/db');
      await bind('b', alone);
    });

    it('is read-only only where the device is', async () => {
      await refused(stage({ ...block, readOnly: true }), 'UNSUPPORTED', /stops nobody/);
      machine.write('/sys/block/sda/ro', '1\n');
      await stage({ ...block, readOnly: true });
      await bind('a', block);
      assert.equal(machine.ran('mount').at(-1)?.[2], 'bind,ro');
    });

    it('takes away what a format has left, but nothing that somebody has written', async () => {
      leaveTag('id-of-db');
      await stage(block);
      assert.ok(readFileSync(machine.at(DEVICE)).every((byte) => byte === 0));
      await staging.unstage('db', PATH);
      leaveTag('id-of-db');
      overwrite(8192, Buffer.from('precious'));
      const before = readFileSync(machine.at(DEVICE));
      await stage(block);
      assert.ok(readFileSync(machine.at(DEVICE)).equals(before));
    });

    it('of an earlier volume of that name does not count', async () => {
      await stage({ ...block, volumeId: 'of an earlier one', path: '/earlier' });
      await stage(block);
      await staging.unstage('db', PATH);
      assert.equal(machine.exists(RECORD), false);
    });
  });

  describe('of what is encrypted', () => {
    const encrypted = { encryption: ENCRYPTION };

    it('shows the passphrase to nobody, and grows without it', async () => {
      assert.equal(await stage(encrypted), '/dev/mapper/aurochs-db');
      assert.equal(await stage(encrypted), '/dev/mapper/aurochs-db');
      await staging.grow('db', PATH);
      assert.deepEqual(machine.ran('cryptsetup').at(-1), ['cryptsetup', 'resize', 'aurochs-db']);
      assert.doesNotMatch(JSON.stringify(machine.calls), /correct horse/);
      await staging.unstage('db', PATH);
      assert.equal(machine.exists('/sys/block/dm-0'), false);
      await stage(encrypted);
      assert.equal(machine.ran('mkfs.ext4').length, 1);
    });

    it('needs the right passphrase, and is not staged as what it is not', async () => {
      await stage(encrypted);
      await staging.unstage('db', PATH);
      const wrong = { encryption: { passphrase: 'wrong' } };
      await refused(stage(wrong), 'PERMISSION_DENIED', /none of its key slots/);
      await refused(stage(), 'FAILED_PRECONDITION', /holds encrypted data/);
      await refused(stage({ kind: 'block' }), 'FAILED_PRECONDITION', /is encrypted/);
      machine.wipe();
      await stage();
      await staging.unstage('db', PATH);
      await refused(stage(encrypted), 'FAILED_PRECONDITION', /ext4, which is not encrypted/);
    });

    it('is formatted inside until it has once been given away', async () => {
      machine.failing.set('mkfs.ext4', failure('mkfs.ext4', [], 1, 'killed\n'));
      await refused(stage(encrypted), 'FAILED_PRECONDITION', /killed/);
      assert.equal(machine.exists('/sys/block/dm-0'), false);
      machine.failing.clear();
      await stage(encrypted);
      await staging.unstage('db', PATH);
      await stage(encrypted);
      assert.equal(machine.ran('mkfs.ext4').length, 2);
    });

    it('as a block device is somebody’s at once', async () => {
      await stage({ ...encrypted, kind: 'block' });
      await staging.unstage('db', PATH);
      await refused(stage(encrypted), 'FAILED_PRECONDITION', /holds data that is no file system/);
      await stage({ ...encrypted, kind: 'block', readOnly: true });
      await bind('a', { kind: 'block', readOnly: true });
      assert.deepEqual(machine.ran('mount').at(-1)?.[4], '/dev/dm-0');
      await staging.unbind('db', '/pods/a/db');
      // As mount(8) does it where there is no udev.
      machine.entry('/pods/b/db', '0:6', 'devtmpfs', 'ro', '/mapper/aurochs-db');
      await bind('b', { kind: 'block', readOnly: true });
      await refused(staging.unstage('db', PATH), 'BUSY', /\/pods\/b\/db/);
      await staging.unbind('db', '/pods/b/db');
      await staging.unstage('db', PATH);
    });
  });
});

const FS = {
  kind: 'fileSystem',
  fileSystem: 'ext4',
  formatOptions: [],
  mountOptions: [],
  readOnly: false,
  encryption: null,
} satisfies Partial<StageRequest>;
