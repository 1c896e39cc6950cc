import assert from 'node:assert/strict';
import { closeSync, mkdirSync, openSync, readFileSync, symlinkSync, writeSync } from 'node:fs';

import { AurochsError, type ErrorCode } from '../../../src/core/errors.js';
import { HostFileSystems } from '../../../src/node/file-systems.js';
import type { MountRequest } from '../../../src/volume/ports.js';
import { DEVICE, DEVICE_BYTES, FileHost } from './file-host.js';
import { failure } from './scripted-host.js';

describe('HostFileSystems', function () {
  this.timeout(30_000);
  let machine: FileHost;
  let fileSystems: HostFileSystems;

  beforeEach(() => {
    machine = new FileHost();
    fileSystems = new HostFileSystems(machine.host, machine.devices, machine.images);
  });
  afterEach(() => machine.scratch.remove());

  const mount = (changes: Partial<MountRequest> = {}) =>
    fileSystems.mount({
      volume: 'db',
      volumeId: 'id-of-db',
      mountPoint: '/srv/db',
      fileSystem: 'ext4',
      readOnly: false,
      options: [],
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

  const overwrite = (offsetBytes: number, bytes: Buffer): void => {
    const file = openSync(machine.at(DEVICE), 'r+');
    writeSync(file, bytes, 0, bytes.length, offsetBytes);
    closeSync(file);
  };

  const ran = (program: string) => machine.ran(program);

  it('formats a blank volume, and a mount point that is not there is made', async () => {
    await mount({ options: ['noatime'] });
    assert.equal(ran('mkfs.ext4').length, 1);
    assert.deepEqual(ran('mount'), [
      ['mount', '-t', 'ext4', '-o', 'rw,_netdev,noatime', '--', DEVICE, '/srv/db'],
    ]);
    assert.ok(machine.exists('/srv/db'));
  });

  it('checks what is there before it is mounted again, and fills the device', async () => {
    await mount();
    await fileSystems.unmount('db');
    await mount();
    assert.equal(ran('mkfs.ext4').length, 1);
    assert.equal(ran('e2fsck').length, 1);
    assert.deepEqual(machine.calls.at(-1), ['resize2fs', DEVICE]);
  });

  it('does nothing when it is mounted there already', async () => {
    await mount();
    await mount();
    assert.equal(ran('mount').length, 1);
    await refused(mount({ readOnly: true }), 'ALREADY_EXISTS', /writable already/);
  });

  it('refuses a volume that holds another file system, and changes nothing', async () => {
    await mount();
    await fileSystems.unmount('db');
    await refused(mount({ fileSystem: 'xfs' }), 'FAILED_PRECONDITION', /file system ext4, not xfs/);
    await mount();
  });

  it('refuses a partition table, and data that nobody knows', async () => {
    overwrite(510, Buffer.from([0x55, 0xaa]));
    overwrite(446, Buffer.from([0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0]));
    await refused(mount(), 'FAILED_PRECONDITION', /partition table \(dos\)/);
    overwrite(446, Buffer.alloc(66));
    overwrite(8192, Buffer.from('a database of its own kind'));
    await refused(mount(), 'FAILED_PRECONDITION', /no file system known/);
    assert.equal(machine.exists('/srv/db'), false);
  });

  it('does not mount a corrupt file system, and removes the mount point that it made', async () => {
    await mount();
    await fileSystems.unmount('db');
    machine.remove('/srv/db');
    await machine.real.run('debugfs', ['-w', '-R', 'clri <2>', machine.at(DEVICE)]);
    await machine.real.run('debugfs', ['-w', '-R', 'ssv state 2', machine.at(DEVICE)]);
    await refused(mount(), 'CORRUPTION', /cannot be repaired without a decision/);
    const bytesPerInode = 1024 + 0x58;
    overwrite(bytesPerInode, Buffer.from([0xff, 0xff]));
    await refused(mount(), 'CORRUPTION', /no valid super block/);
    assert.equal(machine.exists('/srv/db'), false);
  });

  it('needs the directory in which the mount point is to be', async () => {
    const nowhere = mount({ mountPoint: '/no/such/place' });
    await refused(nowhere, 'FAILED_PRECONDITION', /mount point \/no\/such\/place is not there/);
    assert.equal(ran('mkfs.ext4').length, 0);
  });

  it('hides no files', async () => {
    machine.write('/srv/db/precious', '');
    await refused(mount(), 'FAILED_PRECONDITION', /not empty/);
    machine.write('/srv/file', '');
    await refused(mount({ mountPoint: '/srv/file' }), 'FAILED_PRECONDITION', /not a directory/);
    await refused(mount({ mountPoint: 'srv' }), 'INVALID_ARGUMENT', /full path/);
  });

  it('removes the mount point that it made when the mount fails', async () => {
    machine.failing.set(
      'mount',
      failure('mount', [], 32, 'mount: /srv/db: wrong fs type, bad option.\n'),
    );
    await refused(mount(), 'FAILED_PRECONDITION', /bad option/);
    assert.equal(machine.exists('/srv/db'), false);
    machine.failing.clear();
    await mount();
  });

  it('leaves a blank volume blank when mkfs fails', async () => {
    machine.write('/sys/block/sda/size', '32\n');
    await refused(mount(), 'FAILED_PRECONDITION', /cannot be made on it/);
    assert.ok(readFileSync(machine.at(DEVICE)).every((byte) => byte === 0));
    machine.write('/sys/block/sda/size', `${DEVICE_BYTES / 512}\n`);
    await mount();
  });

  it('does not format for a read-only mount', async () => {
    await refused(mount({ readOnly: true }), 'FAILED_PRECONDITION', /blank/);
  });

  it('unmounts everything, the last one first, or one place', async () => {
    machine.mounted('/srv/a');
    machine.mounted('/srv/b');
    machine.mounted('/srv/other', '8:16');
    await fileSystems.unmount('db', '/srv/a');
    assert.deepEqual(ran('umount'), [['umount', '--', '/srv/a']]);
    machine.mounted('/srv/b/within');
    await fileSystems.unmount('db');
    assert.deepEqual(
      ran('umount').map((call) => call.at(-1)),
      ['/srv/a', '/srv/b/within', '/srv/b'],
    );
    await fileSystems.unmount('db');
    await fileSystems.unmount('another');
  });

  it('names who keeps it from being unmounted', async () => {
    machine.mounted('/srv/db');
    machine.failing.set('umount', failure('umount', [], 32, 'umount: /srv/db: target is busy.\n'));
    mkdirSync(machine.at('/proc/42'));
    symlinkSync('/srv/db/data', machine.at('/proc/42/cwd'));
    symlinkSync('/usr/bin/bash', machine.at('/proc/42/exe'));
    await refused(fileSystems.unmount('db'), 'BUSY', /used by bash \(42\): umount: .*busy/);
  });

  it('trims what is mounted', async () => {
    await refused(fileSystems.trim('db'), 'FAILED_PRECONDITION', /not mounted/);
    machine.mounted('/srv/db');
    assert.equal(await fileSystems.trim('db'), 4096n);
  });

  it('needs the volume’s device', async () => {
    await refused(mount({ volume: 'another' }), 'NOT_FOUND', /no device/);
  });
});
