import { strict as assert } from 'node:assert';
import { AurochsError } from '../../../src/core/errors.js';
import type { DomainEvent } from '../../../src/volume/events.js';
import { ControlPlane, LOCAL } from '../../support/control-plane.js';
import { rejectsWith } from '../../support/rejects.js';

const GIB = 1n << 30n;

describe('volumes', () => {
  let plane: ControlPlane;
  beforeEach(async () => {
    plane = await ControlPlane.started();
  });
  afterEach(() => plane.stop());

  const only = () => [...plane.engine.opened.values()][0];

  it('are created detached and healthy, with one replica on a disk', async () => {
    const volume = await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    assert.equal(volume.state, 'detached');
    assert.equal(volume.robustness, 'healthy');
    assert.match(volume.replicas[0]?.directory ?? '', /^db-[0-9a-f]{8}$/);
    assert.equal(plane.disks.replicas.size, 1);
    assert.equal(plane.engine.opened.size, 0);
  });

  it('get whole blocks, rounded up', async () => {
    const volume = await plane.volumes.create({ name: 'db', sizeBytes: GIB + 1n });
    assert.equal(volume.sizeBytes, GIB + 4096n);
  });

  it('are refused when the name is taken, the size out of range, or the disk unknown', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    await rejectsWith('ALREADY_EXISTS', plane.volumes.create({ name: 'db', sizeBytes: GIB }));
    await rejectsWith(
      'OUT_OF_RANGE',
      plane.volumes.create({ name: 'x', sizeBytes: 4096n }),
      /1MiB/,
    );
    await rejectsWith(
      'OUT_OF_RANGE',
      plane.volumes.create({ name: 'x', sizeBytes: 65n << 40n }),
      /64TiB/,
    );
    await rejectsWith(
      'NOT_FOUND',
      plane.volumes.create({ name: 'x', sizeBytes: GIB, disk: '/nowhere' }),
    );
  });

  it('are refused at once when the file system cannot hold them, with its limit', async () => {
    plane.disks.fileBytesMax = 4n << 40n;
    await plane.diskReconciler.reconcileAll();
    await rejectsWith(
      'OUT_OF_RANGE',
      plane.volumes.create({ name: 'x', sizeBytes: 8n << 40n }),
      /4TiB/,
    );
    assert.deepEqual(await plane.volumes.list(), []);
  });

  it('leave nothing behind when creating fails', async () => {
    plane.engine.failing.set('createReplica', new AurochsError('NO_SPACE', 'disk is full'));
    await rejectsWith('NO_SPACE', plane.volumes.create({ name: 'db', sizeBytes: GIB }), /room/);
    assert.deepEqual(await plane.volumes.list(), []);
    assert.equal(plane.disks.replicas.size, 0);
  });

  it('are attached through both frontends with a raised epoch', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    const volume = await plane.volumes.attach('db');
    assert.equal(volume.state, 'attached');
    assert.equal(volume.epoch, 1n);
    assert.equal(only()?.replica.epoch, 1n);
    assert.equal(only()?.iscsi?.targetName, 'iqn.2026-11.io.aurochs:db');
    assert.equal(only()?.nbd?.name, 'db');
    assert.equal(plane.volumes.exports(volume).length, 3);
  });

  it('raise the epoch in the store before the engine opens the replica', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    let stored = Promise.resolve<bigint | undefined>(undefined);
    plane.engine.hook = (where, call) => {
      if (where === 'before' && call.startsWith('openVolume')) {
        stored = plane.store.get('volume', 'db').then((item) => item?.value.epoch);
      }
    };
    await plane.volumes.attach('db');
    assert.equal(await stored, 1n);
  });

  it('stay attached when attached again, and change their frontends when asked', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    await plane.volumes.attach('db', { frontends: ['nbd'] });
    assert.equal(only()?.iscsi, null);
    const both = await plane.volumes.attach('db', { frontends: ['iscsi', 'nbd'] });
    assert.equal(both.epoch, 1n);
    assert.ok(only()?.iscsi);
    await plane.volumes.attach('db', { frontends: ['iscsi'] });
    assert.equal(only()?.nbd, null);
    await plane.volumes.attach('db', { frontends: ['iscsi'] });
    assert.equal(plane.engine.opened.size, 1);
  });

  it('are not changed to read-only under an initiator', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    await plane.volumes.attach('db');
    await rejectsWith(
      'FAILED_PRECONDITION',
      plane.volumes.attach('db', { readOnly: true }),
      /Detach/,
    );
    await plane.volumes.detach('db');
    await plane.volumes.attach('db', { readOnly: true });
    assert.equal(only()?.iscsi?.readOnly, true);
  });

  it('are offered removable and fully provisioned to whom it is asked for, until the detach', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    await plane.volumes.attach('db', { removable: true, provisioning: 'full' });
    assert.equal(only()?.iscsi?.removable, true);
    assert.equal(only()?.iscsi?.provisioning, 'full');
    assert.equal((await plane.volumes.attach('db')).desired.removable, true);
    await rejectsWith(
      'FAILED_PRECONDITION',
      plane.volumes.attach('db', { provisioning: 'thin' }),
      /attached for writing, removable, fully provisioned/,
    );
    await plane.volumes.detach('db');
    assert.equal((await plane.volumes.attach('db')).desired.removable, false);
    assert.equal(only()?.iscsi?.provisioning, 'thin');
  });

  it('ask new logins for what was changed while they are attached', async () => {
    const chap = { user: 'app', secret: 'twelve-chars-long' };
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    await plane.volumes.setAccess('db', { initiators: ['iqn.2026-11.x:one'] });
    await plane.volumes.attach('db');
    assert.deepEqual(only()?.iscsi?.access.initiators, ['iqn.2026-11.x:one']);
    assert.deepEqual((await plane.volumes.setAccess('db', { chap })).chap, chap);
    assert.deepEqual(only()?.iscsi?.access, {
      chap,
      mutualChap: null,
      initiators: ['iqn.2026-11.x:one'],
    });
    await plane.volumes.setAccess('db', { chap: null, initiators: [] });
    const open = { chap: null, mutualChap: null, initiators: [] };
    assert.deepEqual(only()?.iscsi?.access, open);
    await rejectsWith(
      'INVALID_ARGUMENT',
      plane.volumes.setAccess('db', { initiators: ['somebody'] }),
      /not an iSCSI name/,
    );
  });

  it('say so when the export could not be told who may log in', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    await plane.volumes.attach('db');
    plane.engine.failing.set('setIscsiAccess', new AurochsError('IO', 'not today'));
    const change = plane.volumes.setAccess('db', { initiators: ['iqn.2026-11.x:one'] });
    await rejectsWith('IO', change, /not today/);
  });

  it('are detached again when attaching fails, and say why', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    plane.engine.failing.set('exportNbd', new AurochsError('IO', 'no NBD today'));
    await rejectsWith('IO', plane.volumes.attach('db'), /no NBD today/);
    const volume = await plane.volumes.get('db');
    assert.equal(volume.state, 'detached');
    assert.equal(volume.desired.attached, false);
    assert.match(volume.problem?.message ?? '', /no NBD today/);
    assert.equal(plane.engine.opened.size, 0);
    plane.engine.failing.clear();
    assert.equal((await plane.volumes.attach('db')).problem, null);
  });

  it('with a damaged replica are faulted, say what to do, and leave the others alone', async () => {
    await plane.volumes.create({ name: 'good', sizeBytes: GIB });
    await plane.volumes.create({ name: 'bad', sizeBytes: GIB });
    for (const [path, replica] of plane.disks.replicas) {
      if (path.includes('/bad-'))
        replica.damaged = new AurochsError('CORRUPTION', `${path}: checksum`);
    }
    await rejectsWith('CORRUPTION', plane.volumes.attach('bad'), /checksum.*Restore/s);
    const bad = await plane.volumes.get('bad');
    assert.equal(bad.robustness, 'faulted');
    assert.ok(bad.problem?.hint);
    assert.equal((await plane.volumes.attach('good')).robustness, 'healthy');
    await plane.volumes.delete('bad');
  });

  it('refuse a directory that belongs to another volume', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    for (const replica of plane.disks.replicas.values()) replica.volumeId = 'somebody-else';
    await rejectsWith('CORRUPTION', plane.volumes.attach('db'), /belongs to volume somebody-else/);
    assert.equal(plane.engine.opened.size, 0);
  });

  it('are not opened on a directory that is not the disk any more', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    plane.disks.identities.delete('/disk0'); // As if it was not mounted.
    await rejectsWith('UNAVAILABLE', plane.volumes.attach('db'), /Mount the disk/);
    await rejectsWith('UNAVAILABLE', plane.volumes.delete('db'), /Mount the disk/);
    assert.equal(plane.disks.replicas.size, 1);
  });

  it('are detached only when nobody uses them, unless forced', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    await plane.volumes.attach('db');
    plane.engine.sessionList.push({
      frontend: 'iscsi',
      export: 'iqn.2026-11.io.aurochs:db',
      initiator: 'iqn.1993-08.org.debian:01:abc',
      address: '127.0.0.1:4000',
    });
    await rejectsWith('BUSY', plane.volumes.detach('db'), /debian:01:abc/);
    assert.equal((await plane.volumes.detach('db', true)).state, 'detached');
    assert.equal(plane.engine.opened.size, 0);
  });

  it('are deleted with their replica, but not while they are attached', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    await plane.volumes.attach('db');
    await rejectsWith('FAILED_PRECONDITION', plane.volumes.delete('db'), /detach/);
    await plane.volumes.detach('db');
    await plane.volumes.delete('db');
    assert.equal(plane.disks.replicas.size, 0);
    await rejectsWith('NOT_FOUND', plane.volumes.get('db'));
    await rejectsWith('NOT_FOUND', plane.volumes.delete('db'));
  });

  it('are kept for their snapshots when asked to, also when these cannot be looked at', async () => {
    for (const name of ['db', 'bad', 'gone']) {
      await plane.volumes.create({ name, sizeBytes: GIB });
    }
    await plane.snapshots.create('db', 's');
    await rejectsWith('FAILED_PRECONDITION', plane.volumes.delete('db', 'refuse'), /1 snapshot/);
    for (const [path, replica] of [...plane.disks.replicas]) {
      if (path.includes('/bad-')) replica.damaged = new AurochsError('CORRUPTION', 'checksum');
      if (path.includes('/gone-')) plane.disks.replicas.delete(path);
    }
    await rejectsWith('CORRUPTION', plane.volumes.delete('bad', 'refuse'), /checksum/);
    await plane.volumes.delete('gone', 'refuse');
    await plane.snapshots.delete('db', 's');
    await plane.volumes.delete('db', 'refuse');
    assert.equal((await plane.volumes.list()).length, 1);
  });

  it('grow while attached and while detached, and never shrink', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    assert.equal((await plane.volumes.expand('db', 2n * GIB)).sizeBytes, 2n * GIB);
    await plane.volumes.attach('db');
    assert.equal((await plane.volumes.expand('db', 3n * GIB)).sizeBytes, 3n * GIB);
    assert.equal(only()?.replica.sizeBytes, 3n * GIB);
    await rejectsWith('OUT_OF_RANGE', plane.volumes.expand('db', GIB), /shrink/);
    assert.equal((await plane.volumes.expand('db', 3n * GIB)).sizeBytes, 3n * GIB);
  });

  it('keep their size, attached and served, when growing fails', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    await plane.volumes.attach('db');
    plane.engine.failing.set('expand', new AurochsError('NO_SPACE', 'disk is full'));
    await rejectsWith('NO_SPACE', plane.volumes.expand('db', 2n * GIB));
    const volume = await plane.volumes.get('db');
    assert.equal(volume.desired.sizeBytes, GIB);
    assert.equal(volume.state, 'attached');
    assert.ok(only()?.iscsi);
  });

  it('are faulted once their replica lost data, and served again only by detach and attach', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    const { id } = await plane.volumes.attach('db');
    plane.engine.emit({ type: 'replicaFailed', volumeId: id, message: 'fdatasync: EIO' });
    while ((await plane.volumes.get('db')).robustness !== 'faulted') {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const volume = await plane.volumes.get('db');
    assert.match(volume.problem?.message ?? '', /fdatasync: EIO/);
    assert.match(volume.problem?.hint ?? '', /detach --force/);
    await rejectsWith('IO', plane.volumes.attach('db'), /detach --force/);
    await rejectsWith('IO', plane.volumes.expand('db', 2n * GIB), /detach --force/);
    assert.match((await plane.volumes.get('db')).problem?.message ?? '', /fdatasync: EIO/);
    await plane.volumes.detach('db', true);
    const again = await plane.volumes.attach('db');
    assert.equal(again.robustness, 'healthy');
    assert.equal(again.problem, null);
  });

  it('that cannot be opened any more say so at once when they are attached again', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    await plane.volumes.attach('db');
    await plane.controller.stop();
    plane.open.stop();
    const { disks, store } = plane;
    plane = new ControlPlane({ disks, wrapStore: () => store });
    plane.engine.failing.set('openVolume', new AurochsError('CORRUPTION', 'replica.json is torn'));
    await plane.controller.start();
    await rejectsWith('CORRUPTION', plane.volumes.attach('db'), /replica\.json is torn/);
    assert.equal((await plane.volumes.get('db')).desired.attached, true);
  });

  it('whose replica lost data during a merge are not opened again before a detach accepts that', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    await plane.snapshots.create('db', 'a');
    plane.engine.mergesEnd = false;
    await plane.snapshots.delete('db', 'a');
    const { id } = await plane.volumes.get('db');
    plane.engine.emit({ type: 'replicaFailed', volumeId: id, message: 'fdatasync: EIO' });
    plane.engine.emit({
      type: 'mergeDone',
      volumeId: id,
      snapshotId: 'a',
      error: 'fdatasync: EIO',
    });
    while (plane.engine.opened.size > 0 || (await plane.volumes.get('db')).problem === null) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    await plane.controller.settled(1_000);
    assert.equal(plane.engine.opened.size, 0, 'opened again, the merge would drop the only copy');
    await rejectsWith('IO', plane.snapshots.list('db'), /detach --force/);
    await rejectsWith('IO', plane.volumes.attach('db'), /detach --force/);
    plane.engine.mergesEnd = true;
    await plane.volumes.detach('db', true);
    assert.equal((await plane.volumes.attach('db')).problem, null);
  });

  it('refuse a frontend that the agent does not offer', async () => {
    const quiet = await ControlPlane.started({ listen: { ...LOCAL, nbd: [] } });
    await quiet.volumes.create({ name: 'db', sizeBytes: GIB });
    await rejectsWith(
      'FAILED_PRECONDITION',
      quiet.volumes.attach('db', { frontends: ['nbd'] }),
      /--nbd-listen/,
    );
    const volume = await quiet.volumes.attach('db'); // Whatever there is.
    assert.deepEqual(volume.desired.frontends, ['iscsi']);
    await quiet.stop();
  });

  it('report that they are still under way when the deadline passes', async () => {
    const slow = new ControlPlane({ deadlineMs: 20 });
    await slow.diskService.add('/disk0'); // Its controller is not started: nothing happens.
    await rejectsWith(
      'UNAVAILABLE',
      slow.volumes.create({ name: 'db', sizeBytes: GIB }),
      /not done/,
    );
    await slow.store.close();
  });
});

describe('snapshots', () => {
  let plane: ControlPlane;
  beforeEach(async () => {
    plane = await ControlPlane.started();
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
  });
  afterEach(() => plane.stop());

  it('are taken of an attached volume, in a chain', async () => {
    await plane.volumes.attach('db');
    const first = await plane.snapshots.create('db', 's1');
    const second = await plane.snapshots.create('db', 's2');
    assert.equal(first.parent, null);
    assert.equal(second.parent, first.id);
    assert.deepEqual(
      (await plane.snapshots.list('db')).map((each) => [each.name, each.headParent]),
      [
        ['s1', false],
        ['s2', true],
      ],
    );
  });

  it('are taken of a detached volume, which stays detached', async () => {
    await plane.snapshots.create('db', 's1');
    assert.equal((await plane.volumes.get('db')).state, 'detached');
    assert.equal((await plane.snapshots.get('db', 's1')).name, 's1');
    const volume = await plane.volumes.attach('db'); // Opened for maintenance before; opened anew now.
    assert.equal(volume.state, 'attached');
    assert.equal(plane.engine.opened.size, 1);
  });

  it('get a name from the time when they are given none', async () => {
    const first = await plane.snapshots.create('db');
    const second = await plane.snapshots.create('db');
    assert.match(first.name, /^snap-\d{8}t\d{6}z/);
    assert.notEqual(first.name, second.name);
  });

  it('are refused when the name is taken', async () => {
    await plane.snapshots.create('db', 's1');
    await rejectsWith('ALREADY_EXISTS', plane.snapshots.create('db', 's1'));
  });

  it('are reverted to only while the volume is detached', async () => {
    const first = await plane.snapshots.create('db', 's1');
    await plane.snapshots.create('db', 's2');
    await plane.volumes.attach('db');
    await rejectsWith('FAILED_PRECONDITION', plane.snapshots.revert('db', 's1'), /detach/);
    await plane.volumes.detach('db');
    const reverted = await plane.snapshots.revert('db', 's1');
    assert.equal(reverted.id, first.id);
    assert.ok(reverted.headParent);
  });

  it('are deleted by name or id, and their merge is reported', async () => {
    const events: DomainEvent[] = [];
    plane.events.subscribe((event) => events.push(event));
    await plane.volumes.attach('db');
    const { id } = await plane.snapshots.create('db', 's1');
    await plane.snapshots.delete('db', id);
    while (!events.some((event) => event.type === 'mergeDone')) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(await plane.snapshots.list('db'), []);
    await rejectsWith('NOT_FOUND', plane.snapshots.get('db', 's1'));
    while ((await plane.volumes.get('db')).merging) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  });

  it('being merged keep a detached volume open until they are', async () => {
    await plane.snapshots.create('db', 's1');
    plane.engine.mergesEnd = false;
    await plane.snapshots.delete('db', 's1');
    assert.equal((await plane.snapshots.get('db', 's1')).removing, true);
    assert.equal((await plane.volumes.get('db')).merging, true);
    [...plane.engine.opened.values()][0]?.endMerges();
    while ((await plane.volumes.get('db')).merging) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(await plane.snapshots.list('db'), []);
  });

  it('are compared by name or id, or with the head', async () => {
    const { id } = await plane.snapshots.create('db', 's1');
    const diff = await plane.snapshots.diff('db', { from: 's1', to: '', offsetBytes: 0n });
    assert.equal(diff.from, id);
    assert.equal(diff.to, null);
    assert.equal(diff.runs.length, 1);
    await rejectsWith(
      'OUT_OF_RANGE',
      plane.snapshots.diff('db', { from: '', to: '', offsetBytes: 2n * GIB }),
    );
  });
});

describe('disks', () => {
  let plane: ControlPlane;
  beforeEach(async () => {
    plane = await ControlPlane.started();
  });
  afterEach(() => plane.stop());

  it('are added once', async () => {
    await rejectsWith('ALREADY_EXISTS', plane.diskService.add('/disk0/'));
    await plane.diskService.add('/disk1');
    assert.equal((await plane.diskService.list()).length, 2);
  });

  it('are refused by a relative path, or when the probe fails, and leave no mark then', async () => {
    await rejectsWith('INVALID_ARGUMENT', plane.diskService.add('disk1'));
    plane.engine.failing.set('probeDisk', new AurochsError('UNSUPPORTED', 'no holes in vfat'));
    await rejectsWith('UNSUPPORTED', plane.diskService.add('/disk1'), /vfat/);
    assert.equal(plane.disks.identities.has('/disk1'), false);
  });

  it('are known again by the id in their directory', async () => {
    const [disk] = await plane.diskService.list();
    assert.ok(disk);
    await plane.diskService.remove(disk.id);
    assert.equal((await plane.diskService.add('/disk0')).id, disk.id);
  });

  it('are refused under a second path', async () => {
    const [disk] = await plane.diskService.list();
    plane.disks.identities.set('/copy', disk?.id ?? '');
    await rejectsWith('ALREADY_EXISTS', plane.diskService.add('/copy'), /\/disk0/);
  });

  it('are not removed while they hold a volume', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    const [disk] = await plane.diskService.list();
    await rejectsWith('FAILED_PRECONDITION', plane.diskService.remove(disk?.id ?? ''), /db/);
  });

  it('report directories that nobody claims, and keep them', async () => {
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    const [replica] = plane.disks.replicas.values();
    assert.ok(replica);
    plane.disks.replicas.set('/disk0/replicas/lost-12345678', { ...replica });
    await plane.diskReconciler.reconcileAll();
    const [disk] = await plane.diskService.list();
    assert.deepEqual(disk?.leftovers, ['lost-12345678']);
    assert.equal(plane.disks.replicas.size, 2);
  });

  it('that are not mounted have a problem and take no volumes until they are back', async () => {
    const id = plane.disks.identities.get('/disk0') ?? '';
    plane.disks.identities.delete('/disk0');
    await plane.diskReconciler.reconcileAll();
    await rejectsWith('FAILED_PRECONDITION', plane.volumes.create({ name: 'db', sizeBytes: GIB }));
    plane.disks.identities.set('/disk0', id);
    await plane.diskReconciler.reconcileAll();
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
  });
});
