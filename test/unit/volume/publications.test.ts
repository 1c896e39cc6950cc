import { strict as assert } from 'node:assert';
import { AurochsError } from '../../../src/core/errors.js';
import { ControlPlane } from '../../support/control-plane.js';
import { rejectsWith } from '../../support/rejects.js';

const GIB = 1n << 30n;

describe('publications', () => {
  let plane: ControlPlane;
  beforeEach(async () => {
    plane = await ControlPlane.started();
    const beta = { id: 'node-2', name: 'beta', zone: null, tags: [], createdUnixMs: 1 };
    await plane.store.create('node', 'beta', beta);
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
  });
  afterEach(() => plane.stop());

  const publish = (node: string, more: { readOnly?: boolean; shared?: boolean } = {}) =>
    plane.publications.publish('db', { node, ...more });
  const mountPoints = (): string[] => plane.node.kernel.devices.get('db')?.mountPoints ?? [];

  it('attach the volume with a device, by id or name of the node, and once', async () => {
    const volume = await publish('alpha');
    assert.equal(volume.state, 'attached');
    assert.equal(volume.device?.path, '/dev/aurochs/db');
    const expected = [{ nodeId: 'node-1', readOnly: false, shared: false }];
    assert.deepEqual(volume.publications, expected);
    assert.deepEqual((await publish('node-1')).publications, expected);
    assert.equal(plane.engine.opened.size, 1);
    await rejectsWith('NOT_FOUND', publish('gamma'), /aurochs node ls/);
  });

  it('that read only attach the read-only form', async () => {
    const volume = await publish('alpha', { readOnly: true });
    assert.equal(volume.desired.readOnly, true);
    assert.equal(plane.node.requests.at(-1)?.readOnly, true);
  });

  it('are refused in another way on the same node, and on another node', async () => {
    await publish('alpha');
    await rejectsWith('ALREADY_EXISTS', publish('alpha', { readOnly: true }), /for writing/);
    await rejectsWith('ALREADY_EXISTS', publish('alpha', { shared: true }));
    await rejectsWith('FAILED_PRECONDITION', publish('beta'), /node-1/);
    assert.equal((await plane.volumes.get('db')).publications.length, 1);
  });

  it('are several when all of them share and only read', async () => {
    await publish('alpha', { readOnly: true, shared: true });
    await rejectsWith('FAILED_PRECONDITION', publish('beta', { readOnly: true }), /node-1/);
    const both = await publish('beta', { readOnly: true, shared: true });
    assert.deepEqual(
      both.publications.map(({ nodeId }) => nodeId),
      ['node-1', 'node-2'],
    );
    const one = await plane.publications.unpublish('db', 'alpha');
    assert.equal(one.state, 'attached');
    const none = await plane.publications.unpublish('db');
    assert.equal(none.state, 'detached');
    assert.deepEqual(none.publications, []);
  });

  it('of nobody detach the volume, and ending them again is no error', async () => {
    await publish('alpha');
    assert.equal((await plane.publications.unpublish('db', 'beta')).publications.length, 1);
    assert.equal((await plane.publications.unpublish('db', 'alpha')).state, 'detached');
    assert.equal(plane.node.kernel.devices.size, 0);
    assert.equal((await plane.publications.unpublish('db', 'alpha')).state, 'detached');
    assert.equal((await plane.publications.unpublish('db', 'gone-long-ago')).state, 'detached');
  });

  it('stay while the device is used', async () => {
    await publish('alpha');
    await plane.mounts.mount('db', {
      mountPoint: '/srv/db',
      fileSystem: 'ext4',
      readOnly: false,
      options: [],
    });
    await rejectsWith('BUSY', plane.publications.unpublish('db'), /mounted at \/srv\/db/);
    assert.equal((await plane.volumes.get('db')).publications.length, 1);
    assert.deepEqual(mountPoints(), ['/srv/db']);
  });

  it('stay when the device turns out to be in the way', async () => {
    await publish('alpha');
    plane.node.failing.set('detach', new AurochsError('BUSY', 'held by dm-0'));
    await rejectsWith('BUSY', plane.publications.unpublish('db'), /dm-0/);
    const volume = await plane.volumes.get('db');
    assert.equal(volume.desired.attached, true);
    assert.equal(volume.publications.length, 1);
    plane.node.failing.clear();
    assert.equal((await plane.publications.unpublish('db')).state, 'detached');
  });

  it('that fail leave the volume as it was', async () => {
    plane.node.failing.set('attach', new AurochsError('UNAVAILABLE', 'no iscsid'));
    await rejectsWith('UNAVAILABLE', publish('alpha'), /iscsid/);
    const volume = await plane.volumes.get('db');
    assert.equal(volume.state, 'detached');
    assert.deepEqual(volume.publications, []);
  });

  it('of two nodes that fail at the same time leave nothing attached', async () => {
    plane.node.failing.set('attach', new AurochsError('UNAVAILABLE', 'no iscsid'));
    const sharing = { readOnly: true, shared: true };
    const first = publish('alpha', sharing);
    const second = new Promise<void>((resolve, reject) => {
      plane.node.hook = async (where, call) => {
        if (where !== 'before' || !call.startsWith('attach')) return;
        plane.node.hook = () => undefined;
        publish('beta', sharing).then(() => resolve(), reject);
        // By then it has seen the volume as the first one wants it.
        await plane.nodes.find('beta');
        await plane.volumes.get('db');
      };
    });
    for (const each of [first, second]) await rejectsWith('UNAVAILABLE', each, /iscsid/);
    const { state, desired, publications } = await plane.volumes.get('db');
    assert.deepEqual([state, desired.attached, publications], ['detached', false, []]);
  });

  it('stay when a mount fails that began before them', async () => {
    plane.node.hook = async (where, call) => {
      if (where === 'before' && call.startsWith('mount')) await publish('alpha');
    };
    plane.node.failing.set('mount', new AurochsError('IO', 'bad super block'));
    const request = {
      mountPoint: '/srv',
      fileSystem: 'ext4',
      readOnly: false,
      options: [],
    } as const;
    await rejectsWith('IO', plane.mounts.mount('db', { ...request, options: [] }));
    const volume = await plane.volumes.get('db');
    assert.deepEqual([volume.state, volume.publications.length], ['attached', 1]);
  });

  it('keep the volume from being detached and deleted, unless the detach is forced', async () => {
    await publish('alpha');
    await rejectsWith('FAILED_PRECONDITION', plane.volumes.detach('db'), /unpublish/);
    await rejectsWith('FAILED_PRECONDITION', plane.volumes.delete('db'), /unpublish/);
    const volume = await plane.volumes.detach('db', true);
    assert.equal(volume.state, 'detached');
    assert.deepEqual(volume.publications, []);
    await plane.volumes.delete('db');
  });

  it('of others do not end what was attached by hand', async () => {
    await plane.volumes.attach('db');
    assert.equal((await plane.publications.unpublish('db', 'alpha')).state, 'attached');
  });
});
