import { strict as assert } from 'node:assert';
import { AurochsError } from '../../../src/core/errors.js';
import type { DomainEvent } from '../../../src/volume/events.js';
import { ControlPlane } from '../../support/control-plane.js';
import { rejectsWith } from '../../support/rejects.js';

const GIB = 1n << 30n;
const VOLUMES = ['a', 'b', 'c'];

describe('snapshot groups', () => {
  let plane: ControlPlane;
  beforeEach(async () => {
    plane = await ControlPlane.started();
    for (const name of VOLUMES) await plane.volumes.create({ name, sizeBytes: GIB });
  });
  afterEach(() => plane.stop());

  const names = async (volume: string): Promise<string[]> =>
    (await plane.snapshots.list(volume)).map(({ name }) => name);

  /** Snapshots that stay, once what was removed is merged. */
  async function settled(): Promise<string[][]> {
    for (const deadline = Date.now() + 5_000; ;) {
      const volumes = await plane.volumes.list();
      if (!volumes.some(({ merging, unwanted }) => merging || unwanted.length > 0)) break;
      assert.ok(Date.now() < deadline, 'it does not settle');
      await new Promise((resolve) => setImmediate(resolve));
    }
    return Promise.all(VOLUMES.map(names));
  }

  it('are snapshots of all volumes under one barrier', async () => {
    await plane.volumes.attach('b');
    const events: DomainEvent[] = [];
    plane.events.subscribe((event) => events.push(event));
    const group = await plane.groups.create('nightly', ['c', 'a', 'b']);
    assert.deepEqual(
      group.members.map(({ volume, sizeBytes }) => [volume, sizeBytes]),
      [
        ['c', GIB],
        ['a', GIB],
        ['b', GIB],
      ],
    );
    for (const { volume, snapshotId } of group.members) {
      const snapshot = await plane.snapshots.get(volume, 'nightly');
      assert.deepEqual([snapshot.id, snapshot.group], [snapshotId, group.id]);
    }
    const { calls } = plane.engine;
    const count = (from: number, to: number, name: string): number =>
      calls.slice(from, to).filter((call) => call.startsWith(name)).length;
    const firstSnapshot = calls.findIndex((call) => call.startsWith('takeSnapshot'));
    const firstRelease = calls.indexOf('releaseWrites', firstSnapshot);
    const lastFlush = calls.lastIndexOf('releaseWrites', firstSnapshot);
    assert.equal(count(0, lastFlush + 1, 'holdWrites'), 3, 'all are flushed before one is held');
    assert.equal(count(lastFlush, firstSnapshot, 'holdWrites'), 3, 'all are held before the first');
    assert.equal(count(firstSnapshot, firstRelease, 'takeSnapshot'), 3);
    assert.equal(count(firstSnapshot, calls.length, 'releaseWrites'), 3);
    assert.equal(events.filter(({ type }) => type === 'snapshot').length, 3);
    assert.deepEqual(
      (await plane.groups.list()).map(({ name }) => name),
      ['nightly'],
    );
    assert.equal((await plane.groups.get(group.id)).name, 'nightly');
  });

  it('hold the file systems of devices still meanwhile', async () => {
    await plane.volumes.attach('a', { device: { frontend: 'nbd' } });
    plane.engine.hook = (where, call) => {
      if (where === 'before' && call.startsWith('takeSnapshot')) {
        assert.deepEqual([...plane.node.frozen], ['a']);
      }
    };
    await plane.groups.create('nightly', ['a', 'b']);
    assert.equal(plane.node.frozen.size, 0);
  });

  it('are the same when asked for again, and refused for other volumes', async () => {
    const [first, again] = await Promise.all([
      plane.groups.create('nightly', ['a', 'b']),
      plane.groups.create('nightly', ['b', 'a']),
    ]);
    assert.equal(first.id, again.id);
    assert.deepEqual(await names('a'), ['nightly']);
    await rejectsWith('ALREADY_EXISTS', plane.groups.create('nightly', ['a']), /of a, b/);
  });

  it('are refused for volumes that were made again since', async () => {
    await plane.groups.create('g', ['a', 'b']);
    await plane.volumes.delete('b');
    await rejectsWith('ALREADY_EXISTS', plane.groups.create('g', ['a', 'b']), /of a, b as/);
    await plane.volumes.create({ name: 'b', sizeBytes: GIB });
    await rejectsWith('ALREADY_EXISTS', plane.groups.create('g', ['a', 'b']), /of a, b as/);
  });

  it('are not deleted for one of the same name that was there before', async () => {
    const { id } = await plane.groups.create('g', ['a']);
    const first = plane.groups.delete(id);
    await plane.groups.get(id); // By then it has begun.
    const again = plane.groups.create('g', ['b']);
    await rejectsWith('NOT_FOUND', plane.groups.delete(id));
    await Promise.all([first, again]);
    assert.deepEqual(await names('b'), ['g']);
  });

  it('never wait for each other, in whatever order they name their volumes', async () => {
    await Promise.all([
      plane.groups.create('one', ['a', 'b', 'c']),
      plane.groups.create('two', ['c', 'b', 'a']),
      plane.groups.create('three', ['b', 'a']),
    ]);
    assert.deepEqual((await names('a')).sort(), ['one', 'three', 'two']);
  });

  it('are refused without volumes, with one twice, with one that is not there, with a taken name', async () => {
    await rejectsWith('INVALID_ARGUMENT', plane.groups.create('g', []), /1 to 64/);
    await rejectsWith('INVALID_ARGUMENT', plane.groups.create('g', ['a', 'a']), /twice/);
    await rejectsWith('NOT_FOUND', plane.groups.create('g', ['a', 'nothing']));
    await plane.snapshots.create('b', 'g');
    await rejectsWith('ALREADY_EXISTS', plane.groups.create('g', ['a', 'b']), /volume b/);
    assert.deepEqual(await settled(), [[], ['g'], []]);
    assert.deepEqual((await plane.store.list('snapshotGroup')).items, []);
  });

  it('that fall out of step are removed again, and can be asked for anew', async () => {
    plane.engine.hook = (where, call) => {
      if (where !== 'after' || call !== 'takeSnapshot g') return;
      for (const volume of plane.engine.opened.values()) volume.writeHold = null; // The deadline.
    };
    await rejectsWith('UNAVAILABLE', plane.groups.create('g', VOLUMES), /one moment/);
    plane.engine.hook = () => {};
    await plane.groups.create('g', VOLUMES);
    assert.deepEqual(await settled(), [['g'], ['g'], ['g']]);
  });

  it('that fail in the middle leave nothing and hold nothing', async () => {
    let taken = 0;
    plane.engine.hook = (where, call) => {
      if (where === 'before' && call.startsWith('takeSnapshot') && ++taken === 2) {
        throw new AurochsError('NO_SPACE', 'disk is full');
      }
    };
    await rejectsWith('NO_SPACE', plane.groups.create('g', VOLUMES), /full/);
    assert.ok([...plane.engine.opened.values()].every(({ writeHold }) => writeHold === null));
    assert.deepEqual(await settled(), [[], [], []]);
    assert.deepEqual((await plane.store.list('snapshotGroup')).items, []);
  });

  it('keep their snapshots from being deleted one by one, and delete them all', async () => {
    const { id } = await plane.groups.create('g', ['a', 'b']);
    await rejectsWith('FAILED_PRECONDITION', plane.snapshots.delete('a', 'g'), /group rm g/);
    await plane.groups.delete(id);
    assert.deepEqual(await settled(), [[], [], []]);
    await rejectsWith('NOT_FOUND', plane.groups.get('g'));
    await rejectsWith('NOT_FOUND', plane.groups.delete('g'));
  });

  it('are deleted without the members that are gone, even if their name is back', async () => {
    await plane.groups.create('g', VOLUMES);
    await plane.volumes.delete('a');
    await plane.volumes.delete('b');
    await plane.volumes.create({ name: 'b', sizeBytes: GIB });
    await plane.snapshots.create('b', 'g');
    await plane.groups.delete('g');
    const { items } = await plane.store.list('snapshotGroup');
    assert.deepEqual(items, []);
    assert.deepEqual(await names('b'), ['g'], 'of another volume');
  });

  it('keep their volumes from being deleted where snapshots are a reason to refuse', async () => {
    let deletion: Promise<void> | null = null;
    plane.engine.hook = (where, call) => {
      // Asked for while the group is taken, it is carried out when the group is there.
      if (where === 'before' && call.startsWith('takeSnapshot')) {
        deletion ??= plane.volumes.delete('a', 'refuse');
        deletion.catch(() => undefined);
      }
    };
    await plane.groups.create('g', ['a', 'b']);
    assert.ok(deletion !== null);
    await rejectsWith('FAILED_PRECONDITION', deletion, /a has 1 snapshot/);
    assert.deepEqual(await names('a'), ['g']);
    await plane.groups.delete('g');
    await plane.volumes.delete('a', 'refuse');
  });

  it('stay while a volume cannot be asked', async () => {
    await plane.groups.create('g', ['a', 'b']);
    plane.engine.failing.set('describe', new AurochsError('UNAVAILABLE', 'the disk is away'));
    await rejectsWith('UNAVAILABLE', plane.groups.delete('g'));
    assert.equal((await plane.groups.get('g')).members.length, 2);
  });
});
