import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AurochsError } from '../../../src/core/errors.js';
import { COPIES_OF_VOLUME_PARALLEL, COPIES_PARALLEL } from '../../../src/core/limits.js';
import type { Volume } from '../../../src/volume/model.js';
import { ControlPlane } from '../../support/control-plane.js';
import type { FakeReplica } from '../../support/fake-engine.js';
import { rejectsWith } from '../../support/rejects.js';

const GIB = 1n << 30n;

/** A promise that a test resolves. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

describe('volumes made of others', () => {
  let plane: ControlPlane;
  /** Copies that the engine was asked for, while they are slow. */
  let begun: string[];
  beforeEach(async () => {
    plane = await ControlPlane.started();
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
  });
  afterEach(() => plane.stop());

  /** Copies wait for the gate, and whoever asks for one does not wait long. */
  async function withSlowCopies(): Promise<ReturnType<typeof gate>> {
    await plane.stop();
    plane = await ControlPlane.started({ copyWaitMs: 20 });
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    const copying = gate();
    begun = [];
    plane.engine.hook = (where, call) => {
      if (where !== 'before' || !call.startsWith('copySnapshot')) return;
      begun.push(call);
      return copying.opened;
    };
    return copying;
  }

  async function until(
    what: string,
    reached: () => Promise<boolean> | boolean,
    deadlineMs = 5_000,
  ): Promise<void> {
    const deadline = Date.now() + deadlineMs;
    while (!(await reached())) {
      assert.ok(Date.now() < deadline, `not reached: ${what}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  const isThere = (name: string): Promise<void> =>
    until(`${name} is there`, async () => (await plane.volumes.get(name)).state === 'detached');

  function replicaOf(volume: string): FakeReplica {
    const found = [...plane.disks.replicas].find(([path]) => path.includes(`/${volume}-`));
    assert.ok(found, `${volume} has a replica`);
    return found[1];
  }

  /** Snapshots that are there and stay. */
  async function settledSnapshots(volume: string): Promise<string[]> {
    await until('nothing is merged', async () => {
      const { merging, unwanted } = await plane.volumes.get(volume);
      return !merging && unwanted.length === 0;
    });
    return replicaOf(volume).snapshots.map(({ name }) => name);
  }

  it('hold what the snapshot held, with their own identity', async () => {
    const { id } = await plane.snapshots.create('db', 'mon');
    const source = { volume: 'db', snapshot: 'mon' };
    const volume = await plane.volumes.create({ name: 'web', sizeBytes: 2n * GIB, source });
    assert.equal(volume.state, 'detached');
    assert.equal(volume.robustness, 'healthy');
    assert.equal(volume.source?.snapshotId, id);
    const { copyOf, sizeBytes, volumeId } = replicaOf('web');
    assert.deepEqual([copyOf, sizeBytes, volumeId], [id, 2n * GIB, volume.id]);
    assert.equal((await plane.volumes.attach('web')).state, 'attached');
    assert.deepEqual(await settledSnapshots('db'), ['mon']);
  });

  it('without a snapshot are what the volume was, and leave no snapshot behind', async () => {
    await plane.volumes.attach('db', { device: { frontend: 'nbd' } });
    const volume = await plane.volumes.create({
      name: 'web',
      sizeBytes: GIB,
      source: { volume: 'db' },
    });
    assert.equal(volume.state, 'detached');
    assert.equal(replicaOf('web').copyOf, volume.source?.snapshotId);
    assert.ok(plane.engine.calls.some((call) => /^takeSnapshot clone-[0-9a-f]{8}-web$/.test(call)));
    assert.ok(plane.node.calls.includes('freeze db'), 'its file systems stood still');
    assert.deepEqual(await settledSnapshots('db'), []);
  });

  it('are refused when smaller, when the source is not there, and when the name is taken', async () => {
    await plane.volumes.expand('db', 2n * GIB);
    const source = { volume: 'db' };
    const small = plane.volumes.create({ name: 'web', sizeBytes: GIB, source });
    await rejectsWith('OUT_OF_RANGE', small, /less than its source/);
    const none = { volume: 'nothing' };
    await rejectsWith(
      'NOT_FOUND',
      plane.volumes.create({ name: 'web', sizeBytes: GIB, source: none }),
    );
    const unknown = { volume: 'db', snapshot: 'tue' };
    await rejectsWith(
      'NOT_FOUND',
      plane.volumes.create({ name: 'web', sizeBytes: 2n * GIB, source: unknown }),
      /no snapshot "tue"/,
    );
    await rejectsWith(
      'ALREADY_EXISTS',
      plane.volumes.create({ name: 'db', sizeBytes: GIB, source: none }),
    );
    assert.equal((await plane.volumes.list()).length, 1);
  });

  it('are one volume when two ask for them at once', async () => {
    const request = { name: 'web', sizeBytes: GIB, source: { volume: 'db' } };
    const both = await Promise.allSettled([
      plane.volumes.create(request),
      plane.volumes.create(request),
    ]);
    assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    const refused = both.find((each) => each.status === 'rejected');
    await rejectsWith('ALREADY_EXISTS', Promise.reject(refused?.reason as Error));
    assert.equal(plane.disks.replicas.size, 2);
    assert.deepEqual(await settledSnapshots('db'), []);
  });

  describe('that take long', () => {
    let copying: { opened: Promise<void>; open: () => void };
    let web: Volume;
    beforeEach(async () => {
      copying = await withSlowCopies();
      web = await plane.volumes.create({ name: 'web', sizeBytes: GIB, source: { volume: 'db' } });
    });

    const isCopied = (): Promise<void> => until('the copy runs', () => begun.length === 1);

    it('are answered while they are made, and say how far they are', async () => {
      assert.equal(web.state, 'creating');
      assert.equal(plane.volumes.copyShare(web), 0);
      const events: unknown[] = [];
      plane.events.subscribe((event) => events.push(event));
      plane.engine.emit({ type: 'copyProgress', volumeId: web.id, share: 0.5 });
      assert.equal(plane.volumes.copyShare(web), 0.5);
      assert.deepEqual(events, [{ type: 'copyProgress', volume: 'web', share: 0.5 }]);
      copying.open();
      await isThere('web');
      assert.equal(plane.volumes.copyShare(await plane.volumes.get('web')), null);
    });

    it('are neither attached nor expanded before they are there', async () => {
      await rejectsWith('FAILED_PRECONDITION', plane.volumes.attach('web'), /being created/);
      await rejectsWith('FAILED_PRECONDITION', plane.volumes.expand('web', 2n * GIB));
      copying.open();
      await isThere('web');
    });

    it('let their source work on, and are worked on beside it', async () => {
      await isCopied();
      await plane.snapshots.create('db', 'mon');
      await plane.volumes.setLabels('web', { a: 'b' });
      copying.open();
      await isThere('web');
      assert.deepEqual(await settledSnapshots('db'), ['mon']);
    });

    it('begin anew when their source is attached or detached meanwhile', async () => {
      await isCopied();
      await plane.volumes.attach('db');
      await until('another copy', () => begun.length === 2);
      const { state, problem } = await plane.volumes.get('web');
      assert.equal(state, 'creating');
      assert.match(problem?.hint ?? '', /begins anew.*leave the source/);
      await plane.volumes.detach('db');
      copying.open();
      await isThere('web');
      assert.equal((await plane.volumes.get('web')).problem, null);
      const taken = plane.engine.calls.filter((call) => call.startsWith('takeSnapshot'));
      assert.equal(taken.length, 1, 'the same moment is copied');
      assert.deepEqual(await settledSnapshots('db'), []);
    });

    it('keep their source from being deleted, and name the copy', async () => {
      await rejectsWith('FAILED_PRECONDITION', plane.volumes.delete('db'), /volume web/);
      copying.open();
      await isThere('web');
      await plane.volumes.delete('db');
      assert.equal((await plane.volumes.get('web')).source?.volume, 'db');
    });

    it('keep the snapshot that they are made of, and name the copy', async () => {
      await plane.snapshots.create('db', 'mon');
      await plane.snapshots.create('db', 'tue');
      const source = { volume: 'db', snapshot: 'mon' };
      await plane.volumes.create({ name: 'other', sizeBytes: GIB, source });
      const deletion = plane.snapshots.delete('db', 'mon');
      await rejectsWith('FAILED_PRECONDITION', deletion, /mon of volume db.*volume other/);
      await plane.snapshots.delete('db', 'tue');
      copying.open();
      await isThere('other');
      await plane.snapshots.delete('db', 'mon');
    });

    it('are ended when they are deleted, with nothing left of them', async () => {
      await isCopied();
      await plane.volumes.delete('web');
      assert.ok(plane.engine.calls.some((call) => call.startsWith('cancelCopy web-')));
      assert.equal(plane.disks.replicas.size, 1);
      assert.deepEqual(await settledSnapshots('db'), []);
      await plane.volumes.delete('db');
    });

    it('rest with their problem when they fail later, and go when they are deleted', async () => {
      await isCopied();
      plane.engine.failing.set('copySnapshot', new AurochsError('NO_SPACE', 'disk is full'));
      copying.open();
      await until('it has failed', async () => (await plane.volumes.get('web')).problem !== null);
      await plane.controller.settled(1_000);
      const failed = await plane.volumes.get('web');
      assert.equal(failed.state, 'creating');
      assert.equal(failed.problem?.code, 'NO_SPACE');
      plane.engine.failing.clear();
      await plane.volumes.setAccess('web', { initiators: [] });
      await plane.controller.settled(1_000);
      assert.equal(begun.length, 1, 'a full disk is not filled again');
      await plane.volumes.delete('web');
      assert.deepEqual(await settledSnapshots('db'), []);
      await plane.volumes.delete('db');
    });
  });

  it('are undone when they fail while somebody waits', async () => {
    plane.engine.failing.set('copySnapshot', new AurochsError('NO_SPACE', 'disk is full'));
    const source = { volume: 'db' };
    const request = { name: 'web', sizeBytes: GIB, source };
    await rejectsWith('NO_SPACE', plane.volumes.create(request), /room/);
    assert.deepEqual(await settledSnapshots('db'), []);
    assert.deepEqual(
      (await plane.volumes.list()).map(({ name }) => name),
      ['db'],
    );
  });

  it('wait for their turn, and give it up when they are deleted', async () => {
    const copying = await withSlowCopies();
    const sources = ['db', 'other', 'third'];
    for (const name of sources.slice(1)) await plane.volumes.create({ name, sizeBytes: GIB });
    const names: string[] = [];
    for (const source of sources) {
      for (let number = 0; number <= COPIES_OF_VOLUME_PARALLEL; ++number) {
        const name = `of-${source}-${number}`;
        await plane.volumes.create({ name, sizeBytes: GIB, source: { volume: source } });
        names.push(name);
      }
    }
    assert.equal(begun.length, COPIES_PARALLEL);
    const ofOne = begun.filter((call) => call.startsWith('copySnapshot of-db-'));
    assert.equal(ofOne.length, COPIES_OF_VOLUME_PARALLEL);
    const last = names.at(-1) ?? '';
    await plane.volumes.delete(last);
    copying.open();
    for (const name of names.slice(0, -1)) await isThere(name);
    assert.equal(begun.length, names.length - 1);
    for (const source of sources) assert.deepEqual(await settledSnapshots(source), []);
  });

  it('end when they are cancelled, in whatever moment after their turn came', async () => {
    await plane.stop();
    plane = await ControlPlane.started({ copyWaitMs: 0 });
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    const make = (name: string) =>
      plane.volumes.create({ name, sizeBytes: GIB, source: { volume: 'db' } });
    const waiting = new Map<string, () => void>();
    plane.engine.hook = (where, call) => {
      const [, name = ''] = /^copySnapshot (\w+)-/.exec(call) ?? [];
      if (where !== 'before' || name === '') return undefined;
      return new Promise<void>((resolve) => waiting.set(name, resolve));
    };
    await make('held');
    for (let turns = 0; turns < 24; ++turns) {
      await make(`first${turns}`);
      await until('the first runs', () => waiting.has(`first${turns}`));
      const next = await make(`next${turns}`);
      waiting.get(`first${turns}`)?.();
      for (let turn = 0; turn < turns; ++turn) await Promise.resolve();
      plane.copies.cancel(next);
      await until(`${next.name} ends`, () => plane.copies.phase(next) !== 'cancelled');
      await plane.volumes.delete(next.name);
    }
  });

  it('that were whole before a crash count, though their source has gone', async () => {
    await withSlowCopies();
    const web = await plane.volumes.create({
      name: 'web',
      sizeBytes: GIB,
      source: { volume: 'db' },
    });
    const [place] = web.replicas;
    assert.ok(place);
    await plane.store.close(); // Killed.

    const later = new ControlPlane({ disks: plane.disks });
    await later.addNode();
    await later.diskService.add('/disk0');
    await later.store.create('volume', 'web', web);
    later.disks.replicas.set(`/disk0/replicas/${place.directory}`, {
      ...replicaOf('db'),
      volumeId: web.id,
      replicaId: place.id,
    });
    await later.controller.start();
    await until('it counts', async () => (await later.volumes.get('web')).state === 'detached');
    assert.deepEqual(later.disks.synced, ['/disk0'], 'its name is durable by then');
    plane = later;
  });

  it('begin anew when the agent is stopped and started again', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'aurochs-copies-'));
    const storePath = join(directory, 'state.db');
    await plane.stop();
    plane = await ControlPlane.started({ copyWaitMs: 20, storePath });
    await plane.volumes.create({ name: 'db', sizeBytes: GIB });
    plane.engine.hook = (where, call) =>
      where === 'before' && call.startsWith('copySnapshot') ? new Promise(() => {}) : undefined;
    await plane.volumes.create({ name: 'web', sizeBytes: GIB, source: { volume: 'db' } });
    await plane.stop();
    assert.equal(plane.disks.replicas.size, 1);

    plane = new ControlPlane({ storePath, disks: plane.disks });
    await plane.controller.start();
    await isThere('web');
    assert.deepEqual(await settledSnapshots('db'), []);
    rmSync(directory, { recursive: true });
  });

  it('lie beside their source when it has room, else where there is most', async () => {
    await plane.diskService.add('/disk1');
    const source = { volume: 'db' };
    const diskOf = async ({ replicas }: Volume): Promise<string> =>
      (await plane.diskService.get(replicas[0]?.diskId ?? '')).path;
    const near = await plane.volumes.create({ name: 'near', sizeBytes: GIB, source });
    assert.equal(await diskOf(near), '/disk0');
    const { items } = await plane.store.list('disk');
    const full = items.find(({ value }) => value.path === '/disk0');
    assert.ok(full);
    await plane.store.update('disk', full.key, { ...full.value, freeBytes: 10n }, full.revision);
    const far = await plane.volumes.create({ name: 'far', sizeBytes: GIB, source });
    assert.equal(await diskOf(far), '/disk1');
  });
});
