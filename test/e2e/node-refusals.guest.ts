import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

import { AurochsError, type ErrorCode } from '../../src/core/errors.js';
import { SystemCommandRunner } from '../../src/node/command.js';
import type { HostDevices } from '../../src/node/devices.js';
import type { HostFileSystems } from '../../src/node/file-systems.js';
import { Host } from '../../src/node/host-namespaces.js';
import type { ChapSettings } from '../../src/volume/model.js';
import type { MountRequest } from '../../src/volume/ports.js';
import { run } from '../support/programs.js';
import { eventually } from './support/devices.js';
import { mountDisk } from './support/guest-agent.js';
import { note } from './support/messages.js';
import { leftovers, VolumeHost } from './support/volume-host.js';

const SIZE_BYTES = 64n * 1024n * 1024n;
const FORBIDDEN = '/etc/modprobe.d/forbidden.conf';
const DEVICE = '/dev/aurochs/db';
const CHAP: ChapSettings = {
  user: 'db',
  secret: 'correct horse battery',
  mutualUser: 'agent',
  mutualSecret: 'staple battery horse',
};

/** A host on which udev does not do its work for one device. */
class HostWithout extends Host {
  constructor(private readonly hidden: string) {
    super(new SystemCommandRunner());
  }
  override path(hostPath: string): string {
    return super.path(hostPath === this.hidden ? '/nowhere' : hostPath);
  }
}

async function refused(promise: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<void> {
  const started = performance.now();
  const error: unknown = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AurochsError, String(error));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  note(`${code} after ${seconds} s: ${error.message} | ${error.hint}`);
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  assert.ok(error.hint, 'no next step');
}

describe('what stands in the way of a device', function () {
  this.timeout(300_000);
  const host = new VolumeHost();
  let devices: HostDevices;
  let fileSystems: HostFileSystems;

  before(async () => {
    await mountDisk();
    await host.start();
    await host.create('db', SIZE_BYTES);
    devices = host.devices();
    fileSystems = host.fileSystems(devices);
  });
  after(() => host.stop());

  const iscsi = (chap: ChapSettings | null = null) => ({ ...host.request('db', 'iscsi'), chap });

  /** It is refused and leaves nothing; when the cause is gone the same call succeeds. */
  const onceGone = async (
    chap: ChapSettings | null,
    code: ErrorCode,
    message: RegExp,
    removeCause: () => Promise<unknown> | void,
  ): Promise<void> => {
    await refused(devices.attach(iscsi(chap)), code, message);
    assert.deepEqual(leftovers(), []);
    await removeCause();
    await devices.attach(iscsi(chap));
    await devices.detach('db', false);
    assert.deepEqual(leftovers(), []);
  };

  const setAccess = (chap: ChapSettings | null, initiators: string[] = []) =>
    host.volume('db').setIscsiAccess({
      chap: chap === null ? null : { user: chap.user, secret: chap.secret },
      mutualChap:
        chap === null ? null : { user: chap.mutualUser ?? '', secret: chap.mutualSecret ?? '' },
      initiators,
    });

  it('is iscsid when it does not run; automatically NBD is taken then', async () => {
    const choice = await devices.choose('auto', ['iscsi', 'nbd']);
    assert.deepEqual(choice, { frontend: 'nbd', why: 'no iSCSI, as iscsid does not run' });
    await onceGone(null, 'UNAVAILABLE', /iscsid does not run/, () => run('iscsid'));
    assert.equal((await devices.choose('auto', ['iscsi', 'nbd'])).frontend, 'iscsi');
  });

  it('is a module that cannot be loaded', async () => {
    await run('modprobe', '-r', 'iscsi_tcp', 'nbd');
    writeFileSync(FORBIDDEN, 'install iscsi_tcp /bin/false\ninstall nbd /bin/false\n');
    await refused(devices.attach(host.request('db', 'nbd')), 'UNSUPPORTED', /module nbd cannot/);
    await onceGone(null, 'UNSUPPORTED', /module iscsi_tcp cannot be loaded/, () =>
      rmSync(FORBIDDEN),
    );
    await devices.attach(host.request('db', 'nbd'));
    await devices.detach('db', false);
    assert.deepEqual(leftovers(), []);
  });

  for (const [module, frontend, other] of [
    ['iscsi_tcp', 'iscsi', 'nbd'],
    ['nbd', 'nbd', 'iscsi'],
  ] as const) {
    it(`is nothing if only ${module} is absent: it comes over ${other}`, async () => {
      await run('modprobe', '-r', module);
      writeFileSync(FORBIDDEN, `install ${module} /bin/false\n`);
      try {
        const offered = ['iscsi', 'nbd'] as const;
        await refused(devices.choose(frontend, offered), 'UNSUPPORTED', new RegExp(module));
        assert.equal((await devices.choose('auto', offered)).frontend, other);
        const { path } = await devices.attach(host.request('db', other));
        await run('dd', `if=${path}`, 'of=/dev/null', 'bs=1M', 'iflag=direct');
        await devices.detach('db', false);
        assert.deepEqual(leftovers(), []);
      } finally {
        rmSync(FORBIDDEN);
      }
    });
  }

  it('is a target that is not there', async () => {
    await host.volume('db').unexportIscsi();
    const form = { readOnly: false, removable: false, provisioning: 'thin' } as const;
    const { from, serial } = iscsi();
    const access = { chap: null, mutualChap: null, initiators: [] };
    await onceGone(null, 'FAILED_PRECONDITION', /target refused the login/, () =>
      host.volume('db').exportIscsi({ ...form, targetName: from.name, serial, access }),
    );
  });

  it('is a portal that does not answer', async () => {
    await host.stop();
    const request = { ...iscsi() };
    await refused(devices.attach(request), 'UNAVAILABLE', /portal/);
    assert.deepEqual(leftovers(), []);
    await host.start();
    await devices.attach(request);
    await devices.detach('db', false);
  });

  it('is a list of initiators without this one', async () => {
    await setAccess(null, ['iqn.2000-01.org.example:somebody']);
    const code = 'PERMISSION_DENIED';
    await onceGone(null, code, /target refused who logs in/, () => setAccess(null));
  });

  it('is a wrong CHAP secret, in either direction; and no secret is seen by anybody', async () => {
    await setAccess({ ...CHAP, secret: 'another secret than that' });
    const code = 'PERMISSION_DENIED';
    await onceGone(CHAP, code, /target refused who logs in/, () => setAccess(CHAP));
    await setAccess({ ...CHAP, mutualSecret: 'another secret than that' });
    await refused(devices.attach(iscsi(CHAP)), code, /did not prove/);
    assert.deepEqual(leftovers(), []);
    await setAccess(CHAP);
    await devices.attach(iscsi(CHAP));
    const record = '/etc/iscsi/nodes/iqn.2026-11.io.aurochs:db/127.0.0.1,3260,1/default';
    assert.match(readFileSync(record, 'utf8'), /password = correct horse battery/);
    assert.equal((await run('stat', '-c', '%a %u', record)).trim(), '600 0');
    await devices.detach('db', false);
    await setAccess(null);
  });

  it('is a disk that never appears', async () => {
    const blind = host.devices(new HostWithout('/dev/sda'));
    await refused(blind.attach(iscsi()), 'UNAVAILABLE', /no disk \(LUN 1\) appeared/);
    assert.deepEqual(leftovers(), []);
    await devices.attach(iscsi());
    await devices.detach('db', false);
  });

  it('is another volume of this name', async () => {
    const code = 'FAILED_PRECONDITION';
    const other = { ...iscsi(), serial: 'ffffffffffffffff' };
    await refused(devices.attach(other), code, /not AUROCHS ffffffffffffffff/);
    assert.deepEqual(leftovers(), []);
    const larger = { ...host.request('db', 'nbd'), sizeBytes: 2n * SIZE_BYTES };
    await refused(devices.attach(larger), code, /bytes, the volume/);
    assert.deepEqual(leftovers(), []);
  });

  describe('or of a mount', () => {
    before(async () => {
      await devices.attach(iscsi());
    });
    after(async () => {
      await devices.detach('db', true);
      assert.deepEqual(leftovers(), []);
    });

    const mount = (changes: Partial<MountRequest> = {}) =>
      fileSystems.mount({
        volume: 'db',
        volumeId: 'db',
        mountPoint: '/mnt/db',
        fileSystem: 'ext4',
        readOnly: false,
        options: [],
        ...changes,
      });

    const mountAndUnmount = async (): Promise<void> => {
      await mount();
      await fileSystems.unmount('db');
      rmSync('/mnt/db', { recursive: true });
    };

    const holdBy = async (name: string, uuid: string): Promise<void> => {
      const table = `0 ${SIZE_BYTES / 512n} linear ${DEVICE} 0`;
      await run('dmsetup', 'create', name, '--uuid', uuid, '--table', table);
    };

    it('is a mount point whose directory is missing, or that has files in it', async () => {
      const code = 'FAILED_PRECONDITION';
      await refused(mount({ mountPoint: '/mnt/no/db' }), code, /mount point \/mnt\/no\/db/);
      mkdirSync('/mnt/full/file', { recursive: true });
      await refused(mount({ mountPoint: '/mnt/full' }), code, /not empty/);
      await mountAndUnmount();
    });

    it('is multipath that has the disk', async () => {
      await holdBy('mpatha', 'mpath-3600140');
      const code = 'FAILED_PRECONDITION';
      await refused(mount(), code, /held by the multipath device mpatha/);
      await refused(devices.attach(iscsi()), code, /held by the multipath device mpatha/);
      await run('dmsetup', 'remove', 'mpatha');
      await mountAndUnmount();
    });

    it('is another device on the disk; it is not detached either', async () => {
      await holdBy('crypt', 'CRYPT-1');
      await refused(mount(), 'BUSY', /held by crypt/);
      await refused(devices.detach('db', false), 'BUSY', /held by the device crypt/);
      await run('dmsetup', 'remove', 'crypt');
      await mountAndUnmount();
    });

    it('is a mount in a namespace that cannot be seen', async () => {
      await mountAndUnmount();
      mkdirSync('/mnt/hidden', { recursive: true });
      const script = `mount ${DEVICE} /mnt/hidden && touch /run/mounted && while [ -e /run/mounted ]; do sleep 0.1; done`;
      const container = run('unshare', '--mount', 'sh', '-c', script);
      await eventually('it is mounted', () => (existsSync('/run/mounted') ? true : undefined));
      await refused(devices.detach('db', false), 'BUSY', /where this agent cannot see it/);
      rmSync('/run/mounted');
      await container;
    });

    it('is a file system of another kind', async () => {
      const code = 'FAILED_PRECONDITION';
      await refused(mount({ fileSystem: 'xfs' }), code, /holds the file system ext4, not xfs/);
      await run('wipefs', '-a', DEVICE);
      await run('blkdiscard', '-z', '-l', '1MiB', DEVICE);
      await mountAndUnmount();
    });

    it('is a corrupt ext4, which is left as it is', async () => {
      await run('debugfs', '-w', '-R', 'clri <2>', DEVICE);
      await run('debugfs', '-w', '-R', 'ssv state 2', DEVICE);
      await refused(mount(), 'CORRUPTION', /cannot be repaired without a decision/);
      assert.equal(existsSync('/mnt/db'), false);
      await run('sh', '-c', `e2fsck -f -y ${DEVICE}; test $? -le 1`);
      await mountAndUnmount();
    });

    it('is a corrupt xfs, which is left as it is', async () => {
      await devices.detach('db', false);
      await host.create('large', 512n * 1024n * 1024n);
      await devices.attach(host.request('large', 'nbd'));
      const names = { volume: 'large', volumeId: 'large' };
      const request = { ...names, mountPoint: '/mnt/large', fileSystem: 'xfs' } as const;
      const mountLarge = () => fileSystems.mount({ ...request, readOnly: false, options: [] });
      await mountLarge();
      await fileSystems.unmount('large');
      const device = '/dev/aurochs/large';
      await run('xfs_db', '-x', '-c', 'sb 0', '-c', 'write -d rootino 77', device);
      await refused(mountLarge(), 'CORRUPTION', /file system xfs is damaged/);
      await run('xfs_repair', device);
      await mountLarge();
      await fileSystems.unmount('large');
      await devices.detach('large', false);
      await devices.attach(iscsi());
    });
  });
});
