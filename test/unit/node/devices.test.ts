import assert from 'node:assert/strict';
import { readlinkSync, symlinkSync, watch } from 'node:fs';

import { AurochsError, type ErrorCode } from '../../../src/core/errors.js';
import { silentLogger } from '../../../src/core/logger.js';
import { HostDevices } from '../../../src/node/devices.js';
import { listDirectory, nbdBackend, request, ScriptedHost, SIZE_BYTES } from './scripted-host.js';

const CHAP = { user: 'db', secret: 'a very long secret' };

async function refused(promise: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<void> {
  const error: unknown = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AurochsError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  assert.ok(error.hint, 'no next step');
}

describe('HostDevices', () => {
  let machine: ScriptedHost;
  let devices: HostDevices;

  beforeEach(() => {
    machine = new ScriptedHost();
    devices = new HostDevices(machine.host, machine, silentLogger);
  });
  afterEach(() => machine.scratch.remove());

  const called = (word: string) => machine.calls.filter((call) => call.includes(word)).length;

  describe('over iSCSI', () => {
    it('logs in with a record of its own, looks at LUN 1 only, and makes the link', async () => {
      machine.disk.appears = false;
      const scanned = watch(machine.at('/sys/class/scsi_host/host2/scan'), () => machine.appear());
      const attached = await devices.attach(request('iscsi', { chap: CHAP }));
      assert.deepEqual(attached, {
        path: '/dev/aurochs/db',
        kernelPath: '/dev/sda',
        frontend: 'iscsi',
      });
      assert.match(machine.record, /^node\.session\.auth\.password = a very long secret$/m);
      assert.match(machine.record, /^node\.session\.timeo\.replacement_timeout = 3600$/m);
      scanned.close();
      assert.equal(machine.read('/sys/class/scsi_host/host2/scan'), '0 0 1');
      assert.equal(machine.read('/sys/block/sda/device/timeout'), '180');
      assert.equal(readlinkSync(machine.at('/dev/aurochs/db')), '../sda');
      assert.deepEqual(await devices.find('db'), attached);
    });

    it('makes no device once those of the machine have been released, but finds one that is left', async () => {
      machine.write('/run/aurochs/devices-released', '');
      await refused(devices.attach(request('iscsi')), 'UNAVAILABLE', /have been released/);
      assert.equal(called('--login'), 0);
      machine.remove('/run/aurochs/devices-released');
      await devices.attach(request('iscsi'));
      machine.write('/run/aurochs/devices-released', '');
      assert.equal((await devices.attach(request('iscsi'))).kernelPath, '/dev/sda');
    });

    it('shows no secret on any command line', async () => {
      await devices.attach(request('iscsi', { chap: CHAP }));
      assert.ok(machine.calls.length > 0);
      assert.doesNotMatch(JSON.stringify(machine.calls), /secret/);
    });

    it('finds the session of before, does not log in twice, and corrects the link', async () => {
      await devices.attach(request('iscsi'));
      machine.remove('/dev/aurochs/db');
      symlinkSync('../sdz', machine.at('/dev/aurochs/db'));
      await devices.attach(request('iscsi'));
      assert.equal(called('-l'), 1);
      assert.equal(readlinkSync(machine.at('/dev/aurochs/db')), '../sda');
    });

    it('logs in anew where the session leads to a portal of before, unless it is used', async () => {
      machine.logIn(['127.0.0.1', '3999']);
      await devices.attach(request('iscsi'));
      assert.equal(called('-u'), 1);
      assert.equal(called('-l'), 1);
    });

    it('is not stopped by a record of length zero', async () => {
      machine.recordWithLengthZero();
      await devices.attach(request('iscsi'));
      assert.match(machine.record, /node\.name/);
    });

    it('takes a disk with another serial number, vendor or size for another volume, and undoes all', async () => {
      machine.disk.serial = 'ffffffffffffffff';
      await refused(devices.attach(request('iscsi')), 'FAILED_PRECONDITION', /not AUROCHS 0123/);
      assert.deepEqual(machine.leftovers(), []);
      machine.disk.serial = request('iscsi').serial;
      machine.disk.vendor = 'LIO-ORG ';
      await refused(devices.attach(request('iscsi')), 'FAILED_PRECONDITION', /is LIO-ORG/);
      assert.deepEqual(machine.leftovers(), []);
    });

    for (const [exit, code, message] of [
      [24, 'PERMISSION_DENIED', /refused who logs in/],
      [19, 'FAILED_PRECONDITION', /refused the login/],
      [8, 'UNAVAILABLE', /does not answer/],
      [12, 'UNSUPPORTED', /no iSCSI transport/],
    ] as const) {
      it(`undoes all after login failure ${exit}, and attaches once the cause is gone`, async () => {
        machine.loginExit = exit;
        await refused(devices.attach(request('iscsi')), code, message);
        assert.deepEqual(machine.leftovers(), []);
        machine.loginExit = 0;
        await devices.attach(request('iscsi'));
      });
    }

    it('tries again where open-iscsi says so', async () => {
      machine.loginExit = 29;
      const attaching = devices.attach(request('iscsi'));
      while (called('-l') === 0) await new Promise((resolve) => setImmediate(resolve));
      machine.loginExit = 0;
      await attaching;
      assert.equal(called('-l'), 2);
    });

    it('names iscsid when it does not run', async () => {
      machine.write('/proc/1/net/unix', '');
      await refused(devices.attach(request('iscsi')), 'UNAVAILABLE', /iscsid does not run/);
    });

    it('loads the module where it is not loaded, and tells why it cannot', async () => {
      machine.remove('/sys/module/iscsi_tcp');
      await refused(devices.attach(request('iscsi')), 'UNSUPPORTED', /no module iscsi_tcp/);
    });

    it('explains what multipathd does to the disk', async () => {
      machine.logIn();
      machine.write('/sys/block/sda/holders/dm-0', '');
      machine.write('/sys/block/dm-0/dm/name', 'mpatha\n');
      machine.write('/sys/block/dm-0/dm/uuid', 'mpath-36001\n');
      await refused(devices.attach(request('iscsi')), 'FAILED_PRECONDITION', /mpatha/);
      machine.remove('/sys/block/sda/holders');
      machine.write('/proc/77/comm', 'multipathd\n');
      machine.programs.set('multipath', () => '/dev/sda is a valid multipath device path\n');
      await refused(devices.attach(request('iscsi')), 'FAILED_PRECONDITION', /multipathd takes/);
    });
  });

  describe('over NBD', () => {
    it('connects through the kernel and names the device by the volume', async () => {
      const attached = await devices.attach(request('nbd'));
      assert.deepEqual(attached, {
        path: '/dev/aurochs/db',
        kernelPath: '/dev/nbd0',
        frontend: 'nbd',
      });
      assert.deepEqual(machine.nbdCalls, ['connect unix:/run/aurochs/nbd.sock db']);
      assert.equal(machine.read('/sys/block/nbd0/backend').trim(), nbdBackend('db'));
    });

    it('gives the device of before new connections', async () => {
      await devices.attach(request('nbd'));
      await devices.attach(request('nbd'));
      assert.deepEqual(machine.nbdCalls.slice(1), ['reconnect 0']);
    });

    it('does not take the device of another volume that had this name', async () => {
      await devices.attach(request('nbd'));
      const other = request('nbd', { serial: 'ffffffffffffffff' });
      await refused(devices.attach(other), 'FAILED_PRECONDITION', /serial number/);
    });

    it('disconnects again when the size is another', async () => {
      machine.nbdSizeBytes = 512n;
      await refused(devices.attach(request('nbd')), 'FAILED_PRECONDITION', /512 bytes/);
      assert.deepEqual(machine.leftovers(), []);
    });

    it('has no TLS', async () => {
      const from = { ...request('nbd').from, uri: 'nbds://10.0.0.1:10809/db' };
      await refused(devices.attach(request('nbd', { from })), 'UNSUPPORTED', /no TLS/);
    });
  });

  it('is attached over one frontend at a time', async () => {
    await devices.attach(request('nbd'));
    await refused(devices.attach(request('iscsi')), 'FAILED_PRECONDITION', /nbd0 already/);
  });

  for (const frontend of ['iscsi', 'nbd'] as const) {
    it(`leaves nothing behind after a detach over ${frontend}, which may be repeated`, async () => {
      await devices.attach(request(frontend));
      await devices.detach('db', false);
      assert.deepEqual(machine.leftovers(), []);
      assert.deepEqual(listDirectory(machine.at('/dev/aurochs')), []);
      await devices.detach('db', false);
      assert.equal(await devices.find('db'), null);
    });
  }

  it('is not detached while it is used, and the error names by whom, unless forced', async () => {
    await devices.attach(request('iscsi'));
    machine.mounted('/srv/db');
    machine.write('/sys/block/sda/sda1/partition', '1\n');
    machine.write('/sys/block/sda/sda1/dev', '8:1\n');
    machine.write('/sys/block/sda/sda1/holders/dm-3', '');
    machine.write('/sys/block/dm-3/dm/name', 'luks-db\n');
    machine.write('/sys/block/dm-3/dev', '253:3\n');
    machine.mounted('/srv/crypt', '253:3');
    await refused(
      devices.detach('db', false),
      'BUSY',
      /mounted at \/srv\/db, mounted at \/srv\/crypt, held by the device luks-db/,
    );
    assert.deepEqual(await devices.users('db'), {
      mountPoints: ['/srv/db', '/srv/crypt'],
      holders: ['luks-db'],
    });
    await devices.detach('db', true);
    assert.deepEqual(machine.leftovers(), []);
  });

  it('removes links whose device is gone', async () => {
    machine.write('/dev/aurochs/other', '');
    machine.remove('/dev/aurochs/other');
    symlinkSync('../sdx', machine.at('/dev/aurochs/other'));
    await devices.attach(request('nbd'));
    assert.deepEqual(
      listDirectory(machine.at('/dev/aurochs')).map((path) => path.split('/').at(-1)),
      ['db'],
    );
  });

  describe('grow', () => {
    it('makes the kernel see the size and the mounted file system fill it', async () => {
      await devices.attach(request('nbd'));
      machine.mounted('/srv/db', '43:0');
      machine.programs.set('resize2fs', () => '');
      await devices.grow('db', 2n * SIZE_BYTES);
      assert.deepEqual(machine.nbdCalls.at(-1), `resize 0 ${2n * SIZE_BYTES}`);
      assert.deepEqual(machine.calls.at(-1), ['resize2fs', '/dev/aurochs/db']);
    });

    it('lets the device have new connections while the file system waits for it', async () => {
      await devices.attach(request('nbd'));
      machine.mounted('/srv/db', '43:0');
      const said = { stdout: '', stderr: '' };
      let answer: () => void = () => {};
      const begun = new Promise<void>((begin) => {
        const ended = new Promise<typeof said>((resolve) => (answer = () => resolve(said)));
        machine.run = (program) => {
          if (program === 'resize2fs') begin();
          return program === 'resize2fs' ? ended : Promise.resolve(said);
        };
      });
      const grown = devices.grow('db', 2n * SIZE_BYTES);
      await begun;
      await devices.attach(request('nbd', { sizeBytes: 2n * SIZE_BYTES }));
      assert.equal(machine.nbdCalls.at(-1), 'reconnect 0');
      answer();
      await grown;
    });

    it('needs a device', async () => {
      await refused(devices.grow('db', SIZE_BYTES), 'NOT_FOUND', /no device/);
    });
  });

  describe('choose', () => {
    it('takes iSCSI where it can be used and says so', async () => {
      const { frontend, why } = await devices.choose('auto', ['iscsi', 'nbd']);
      assert.deepEqual([frontend, why], ['iscsi', 'iscsi_tcp and iscsid can be used']);
    });

    it('takes NBD otherwise, and says what iSCSI lacks', async () => {
      machine.write('/proc/1/net/unix', '');
      const { frontend, why } = await devices.choose('auto', ['iscsi', 'nbd']);
      assert.deepEqual([frontend, why], ['nbd', 'no iSCSI, as iscsid does not run']);
    });

    it('names both causes where neither can be used', async () => {
      machine.remove('/usr/sbin/iscsiadm');
      await refused(
        devices.choose('auto', ['iscsi']),
        'UNSUPPORTED',
        /iscsiadm is not installed; over NBD, as the volume is not offered over NBD/,
      );
    });

    it('does not take another one than was asked for', async () => {
      machine.remove('/sys/module/nbd');
      await refused(devices.choose('nbd', ['iscsi', 'nbd']), 'UNSUPPORTED', /no module nbd/);
    });
  });
});
