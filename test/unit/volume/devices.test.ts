import { strict as assert } from 'node:assert';
import { AurochsError } from '../../../src/core/errors.js';
import { serialOf } from '../../../src/core/ids.js';
import type { Volume } from '../../../src/volume/model.js';
import { ControlPlane, LOCAL } from '../../support/control-plane.js';
import { FakeDisks } from '../../support/fake-engine.js';
import { FakeKernel } from '../../support/fake-node.js';
import { rejectsWith } from '../../support/rejects.js';
import { Scratch } from '../../support/scratch.js';

const GIB = 1n << 30n;

describe('devices of volumes', () => {
  let plane: ControlPlane;
  let kernel: FakeKernel;
  beforeEach(async () => {
    kernel = new FakeKernel();
    plane = await ControlPlane.started({ kernel });
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
  });
  afterEach(() => plane.stop());

  const withDevice = (frontend: 'auto' | 'iscsi' | 'nbd' = 'auto'): Promise<Volume> =>
    plane.volumes.attach('db', { device: { frontend } });

  const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
    while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
  };

  it('are made once the volume is offered, and say which frontend they took and why', async () => {
    const volume = await withDevice();
    assert.deepEqual(volume.device, {
      path: '/dev/aurochs/db',
      kernelPath: '/dev/sd0',
      frontend: 'iscsi',
      why: 'auto was wished',
      sizeBytes: GIB,
    });
    const [request] = plane.node.requests;
    assert.equal(request?.serial, serialOf(volume.id));
    assert.equal(request?.from.address, '127.0.0.1:3260');
    assert.deepEqual(volume.desired.frontends, ['iscsi', 'nbd']);
  });

  it('come over NBD, by its UNIX socket, when iSCSI cannot be used', async () => {
    kernel.usable.delete('iscsi');
    assert.equal((await withDevice()).device?.frontend, 'nbd');
    assert.equal(plane.node.requests[0]?.from.address, 'unix:/run/aurochs/nbd.sock');
  });

  it('come over the frontend that is named, which alone is offered then', async () => {
    const volume = await withDevice('nbd');
    assert.equal(volume.device?.frontend, 'nbd');
    assert.deepEqual(volume.desired.frontends, ['nbd']);
  });

  it('are added to an attached volume without taking away what it is offered through', async () => {
    await plane.volumes.attach('db', { frontends: ['iscsi'] });
    const volume = await withDevice('nbd');
    assert.deepEqual(volume.desired.frontends, ['iscsi', 'nbd']);
    assert.equal(volume.epoch, 1n);
    assert.equal(volume.device?.frontend, 'nbd');
  });

  it('stay as they are when they are attached again', async () => {
    const first = await withDevice('nbd');
    assert.deepEqual((await withDevice()).device, first.device);
    assert.deepEqual((await plane.volumes.attach('db')).device, first.device);
    await rejectsWith('FAILED_PRECONDITION', withDevice('iscsi'), /over NBD already.*Detach/s);
    await rejectsWith(
      'FAILED_PRECONDITION',
      plane.volumes.attach('db', { frontends: ['iscsi'] }),
      /device comes over NBD/,
    );
    assert.deepEqual(plane.node.calls, ['attach db']);
  });

  it('that cannot be made leave a volume detached that was detached, and say why', async () => {
    kernel.usable.clear();
    await rejectsWith('UNSUPPORTED', withDevice(), /Load the modules/);
    kernel.usable.add('nbd');
    plane.node.failing.set('attach', new AurochsError('BUSY', 'multipath has it', 'Blacklist it.'));
    await rejectsWith('BUSY', withDevice(), /multipath has it.*Blacklist/s);
    const volume = await plane.volumes.get('db');
    assert.equal(volume.state, 'detached');
    assert.equal(volume.desired.device, null);
    assert.equal(plane.engine.opened.size, 0);
    plane.node.failing.clear();
    assert.equal((await withDevice()).problem, null);
  });

  it('that cannot be made leave a volume attached that was attached, as it was', async () => {
    await plane.volumes.attach('db', { frontends: ['iscsi'] });
    plane.node.failing.set('attach', new AurochsError('UNAVAILABLE', 'no device appeared'));
    await rejectsWith('UNAVAILABLE', withDevice('nbd'), /no device appeared/);
    const volume = await plane.volumes.get('db');
    assert.equal(volume.state, 'attached');
    assert.deepEqual(volume.desired.frontends, ['iscsi']);
    assert.equal(volume.desired.device, null);
    assert.equal(volume.problem, null);
    assert.equal(volume.epoch, 1n);
    assert.deepEqual([...(plane.open.get(volume)?.offered ?? [])], ['iscsi']);
  });

  it('go before their volume is closed', async () => {
    await withDevice();
    const open = [...plane.engine.opened.values()][0];
    let wasOffered = false;
    plane.node.hook = (where, call) => {
      if (where === 'before' && call === 'detach db') wasOffered = open?.iscsi !== null;
    };
    const volume = await plane.volumes.detach('db');
    assert.ok(wasOffered);
    assert.equal(volume.device, null);
    assert.equal(volume.desired.device, null);
    assert.equal(kernel.devices.size, 0);
    assert.equal((await plane.volumes.attach('db')).device, null);
  });

  it('that are mounted keep their volume attached, unless it is forced', async () => {
    await withDevice();
    kernel.devices.get('db')?.mountPoints.push('/srv/db');
    await rejectsWith('BUSY', plane.volumes.detach('db'), /\/srv\/db.*volume unmount db/s);
    assert.equal((await plane.volumes.get('db')).desired.attached, true);
    assert.equal((await plane.volumes.detach('db', true)).state, 'detached');
    assert.equal(kernel.devices.size, 0);
    assert.ok(plane.node.calls.includes('detach db by force'));
  });

  it('that are mounted at the last moment keep their volume attached and served', async () => {
    await withDevice();
    plane.node.hook = (where, call) => {
      if (where === 'before' && call === 'detach db') {
        kernel.devices.get('db')?.mountPoints.push('/srv/db');
      }
    };
    await rejectsWith('BUSY', plane.volumes.detach('db'), /\/srv\/db/);
    await plane.controller.settled(1_000);
    const volume = await plane.volumes.get('db');
    assert.equal(volume.state, 'attached');
    assert.equal(volume.problem, null);
    assert.equal(plane.open.get(volume)?.offered.size, 2);
    assert.equal(kernel.devices.size, 1);
  });

  it('do not count their own sessions as uses of the volume, but those of others', async () => {
    await withDevice('iscsi');
    const session = {
      frontend: 'iscsi',
      export: 'iqn.2026-11.io.aurochs:db',
      initiator: 'iqn.1993-08.org.debian:01:abc',
      address: '127.0.0.1:4000',
    } as const;
    plane.engine.sessionList.push(session);
    plane.engine.sessionList.push({ ...session, address: '127.0.0.1:4001' });
    await rejectsWith('BUSY', plane.volumes.detach('db'), /1 session/);
    plane.engine.sessionList.pop();
    await plane.volumes.detach('db');
  });

  it('grow with their volume', async () => {
    await withDevice();
    const volume = await plane.volumes.expand('db', 2n * GIB);
    assert.equal(volume.device?.sizeBytes, 2n * GIB);
    assert.equal(kernel.devices.get('db')?.sizeBytes, 2n * GIB);
    plane.node.failing.set('grow', new AurochsError('IO', 'resize2fs failed'));
    await rejectsWith('IO', plane.volumes.expand('db', 3n * GIB), /resize2fs/);
    assert.equal((await plane.volumes.get('db')).sizeBytes, 3n * GIB);
    plane.node.failing.clear();
    await until(async () => (await plane.volumes.get('db')).device?.sizeBytes === 3n * GIB);
    assert.equal((await plane.volumes.get('db')).problem, null);
  });

  it('that lose their session are brought back to life', async () => {
    await withDevice('nbd');
    const device = kernel.devices.get('db');
    assert.ok(device);
    device.connectedTo = null;
    plane.engine.emit({
      type: 'sessionClosed',
      session: { frontend: 'nbd', export: 'db', initiator: '', address: 'unix:' },
    });
    await until(() => device.connectedTo === plane.node);
  });

  it('that are gone for good are a problem of their volume until they are made again', async () => {
    await withDevice();
    kernel.devices.clear();
    plane.node.failing.set('attach', new AurochsError('UNAVAILABLE', 'iscsid does not run'));
    await plane.open.refreshAll();
    await until(async () => (await plane.volumes.get('db')).problem !== null);
    const ill = await plane.volumes.get('db');
    assert.match(ill.problem?.message ?? '', /iscsid does not run/);
    assert.equal(ill.device, null);
    assert.equal(ill.state, 'attached');
    plane.node.failing.clear();
    await until(async () => (await plane.volumes.get('db')).device !== null);
    assert.equal((await plane.volumes.get('db')).problem, null);
  });

  it('wait for the agent to listen', async () => {
    const listen = { ...LOCAL, listening: false };
    const early = await ControlPlane.started({ kernel: new FakeKernel(), listen });
    await early.volumes.create({ name: 'db', sizeBytes: GIB });
    const attached = early.volumes.attach('db', { device: { frontend: 'auto' } });
    await until(async () => (await early.volumes.get('db')).state === 'attached');
    await early.controller.settled(1_000);
    assert.deepEqual(early.node.calls, []);
    listen.listening = true;
    await early.controller.listening();
    assert.notEqual((await attached).device, null);
    await early.stop();
  });

  it('stay when the agent stops, and are taken over by the next one', async () => {
    const first = await ControlPlane.started({ kernel });
    await first.volumes.create({ name: 'kept', sizeBytes: GIB });
    await first.volumes.attach('kept', { device: { frontend: 'nbd' } });
    await first.stop();
    assert.ok(kernel.devices.has('kept'));
    assert.ok(!first.node.calls.some((call) => call.startsWith('detach')));
  });

  it('are told to who asks for them while the next agent still takes them over', async () => {
    const scratch = new Scratch();
    const options = { kernel, disks: new FakeDisks(), storePath: scratch.file('store.db') };
    const first = await ControlPlane.started(options);
    await first.volumes.create({ name: 'kept', sizeBytes: GIB });
    await first.volumes.attach('kept', { device: { frontend: 'iscsi' } });
    await first.stop();

    const next = new ControlPlane(options);
    const revision = async () => (await next.store.get('volume', 'kept'))?.revision;
    let looks = false;
    let mayGoOn = false;
    next.node.hook = () => {
      looks = true;
      return until(() => mayGoOn);
    };
    await next.controller.start();
    await until(() => looks);
    const before = await revision();
    const asked = next.volumes.attach('kept', { device: { frontend: 'iscsi' } });
    await until(async () => (await revision()) !== before);
    mayGoOn = true;
    assert.equal((await asked).device?.frontend, 'iscsi');
    await next.stop();
    scratch.remove();
  });
});

describe('snapshots of a volume with a device', () => {
  let plane: ControlPlane;
  beforeEach(async () => {
    plane = await ControlPlane.started();
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    await plane.volumes.attach('db', { device: { frontend: 'auto' } });
  });
  afterEach(() => plane.stop());

  it('are taken while its file systems are held still', async () => {
    let still = false;
    plane.engine.hook = (where, call) => {
      if (where === 'before' && call.startsWith('takeSnapshot'))
        still = plane.node.frozen.has('db');
    };
    await plane.snapshots.create('db', 's1');
    assert.ok(still);
    assert.equal(plane.node.frozen.size, 0);
  });

  it('are taken also when its file systems cannot be held still', async () => {
    plane.node.failing.set('freeze', new AurochsError('UNSUPPORTED', 'vfat'));
    assert.equal((await plane.snapshots.create('db', 's1')).name, 's1');
  });

  it('let its file systems go when they fail', async () => {
    plane.engine.failing.set('takeSnapshot', new AurochsError('NO_SPACE', 'disk is full'));
    await rejectsWith('NO_SPACE', plane.snapshots.create('db', 's1'));
    assert.equal(plane.node.frozen.size, 0);
  });
});

describe('staging a volume', () => {
  let plane: ControlPlane;
  beforeEach(async () => {
    plane = await ControlPlane.started();
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    await plane.volumes.attach('db', { device: { frontend: 'auto' } });
  });
  afterEach(() => plane.stop());

  it('is refused among the agent’s own files, and so is binding', async () => {
    const options = { formatOptions: [], mountOptions: [] };
    const how = { kind: 'fileSystem', fileSystem: 'ext4', readOnly: false } as const;
    for (const path of ['/disk0', '/disk0/replica/x', '/var/lib/aurochs/images/x']) {
      const staged = plane.staging.stage('db', { ...how, ...options, path, encryption: null });
      await rejectsWith('INVALID_ARGUMENT', staged, /where the agent keeps its volumes/);
      const bound = plane.staging.bind('db', {
        ...{ stagingPath: '/disk01', targetPath: path, kind: 'block', readOnly: false },
        ...{ exclusive: false, mountOptions: [] },
      });
      await rejectsWith('INVALID_ARGUMENT', bound, /where the agent keeps its volumes/);
    }
    await plane.staging.stage('db', { ...how, ...options, path: '/disk01', encryption: null });
  });
});

describe('mounting a volume', () => {
  let plane: ControlPlane;
  let kernel: FakeKernel;
  beforeEach(async () => {
    kernel = new FakeKernel();
    plane = await ControlPlane.started({ kernel });
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
  });
  afterEach(() => plane.stop());

  const request = (mountPoint = '/srv/db') =>
    ({ mountPoint, fileSystem: 'ext4', readOnly: false, options: [] }) as const;

  it('attaches it with a device, and can be repeated', async () => {
    const volume = await plane.mounts.mount('db', { ...request(), options: [] });
    assert.equal(volume.state, 'attached');
    await plane.mounts.mount('db', { ...request(), options: [] });
    assert.deepEqual(kernel.devices.get('db')?.mountPoints, ['/srv/db']);
    assert.equal(await plane.mounts.trim('db'), 4096n);
    await plane.mounts.unmount('db');
    assert.deepEqual(kernel.devices.get('db')?.mountPoints, []);
    await plane.mounts.unmount('db');
    assert.equal((await plane.volumes.get('db')).state, 'attached');
  });

  it('that fails leaves what was there before', async () => {
    plane.node.failing.set('mount', new AurochsError('FAILED_PRECONDITION', 'it holds NTFS'));
    const mount = () => plane.mounts.mount('db', { ...request(), options: [] });
    await rejectsWith('FAILED_PRECONDITION', mount(), /NTFS/);
    assert.equal((await plane.volumes.get('db')).state, 'detached');
    assert.equal(kernel.devices.size, 0);
    await plane.volumes.attach('db');
    await rejectsWith('FAILED_PRECONDITION', mount(), /NTFS/);
    assert.equal((await plane.volumes.get('db')).state, 'attached');
    assert.equal(kernel.devices.size, 0);
    await plane.volumes.attach('db', { device: { frontend: 'auto' } });
    await rejectsWith('FAILED_PRECONDITION', mount(), /NTFS/);
    assert.equal(kernel.devices.size, 1);
  });

  it('is refused at a path that is not absolute', async () => {
    const mount = plane.mounts.mount('db', { ...request('srv/db'), options: [] });
    await rejectsWith('INVALID_ARGUMENT', mount, /absolute/);
    assert.equal((await plane.volumes.get('db')).state, 'detached');
  });

  it('of a volume that is not there is NOT_FOUND', async () => {
    await rejectsWith('NOT_FOUND', plane.mounts.mount('x', { ...request(), options: [] }));
    await rejectsWith('NOT_FOUND', plane.mounts.unmount('x'));
    await rejectsWith('NOT_FOUND', plane.mounts.trim('x'));
  });
});
