/** What every store adapter must do; each adapter's test calls this with a way to make an empty store. */
import { strict as assert } from 'node:assert';
import type { Disk, SnapshotGroup, Volume } from '../../src/volume/model.js';
import type { NodeIdentity, Store, StoreEvent } from '../../src/volume/ports.js';
import { rejectsWith } from './rejects.js';

export function sampleVolume(name: string, change: Partial<Volume> = {}): Volume {
  return {
    id: `00000000-0000-4000-8000-${name.padStart(12, '0').slice(0, 12)}`,
    name,
    sizeBytes: 1n << 40n,
    createdUnixMs: 1_700_000_000_000,
    desired: {
      attached: false,
      frontends: [],
      device: null,
      readOnly: false,
      removable: false,
      provisioning: 'thin',
      sizeBytes: 1n << 40n,
      deleted: false,
    },
    labels: {},
    source: null,
    publications: [],
    chap: null,
    initiators: [],
    epoch: 0n,
    replicas: [],
    merging: false,
    unwanted: [],
    state: 'detached',
    robustness: 'healthy',
    device: null,
    problem: null,
    ...change,
  };
}

export function sampleNode(name: string): NodeIdentity {
  return { id: name, name, zone: null, tags: [], createdUnixMs: 1 };
}

function sampleGroup(name: string): SnapshotGroup {
  const member = { volumeId: 'v', volume: 'db', snapshotId: 's', sizeBytes: (1n << 63n) + 1n };
  return { id: 'g', name, createdUnixMs: 1, state: 'taking', members: [member] };
}

export function sampleDisk(id: string, change: Partial<Disk> = {}): Disk {
  return {
    id,
    nodeId: 'n',
    path: '/disk0',
    tags: ['ssd'],
    createdUnixMs: 1,
    fileSystem: 'ext4',
    totalBytes: 3n,
    freeBytes: 2n,
    fileBytesMax: 1n,
    leftovers: ['lost'],
    problem: null,
    ...change,
  };
}

/** Collects events; `wait` resolves once there are `count` of them. */
class Collector {
  readonly events: StoreEvent<'volume'>[] = [];
  readonly lost: string[] = [];
  #wake: (() => void) | null = null;

  readonly listener = (event: StoreEvent<'volume'>): void => {
    this.events.push(event);
    this.#wake?.();
  };
  readonly onLost = (why: string): void => {
    this.lost.push(why);
    this.#wake?.();
  };

  async wait(count: number): Promise<void> {
    while (this.events.length + this.lost.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  get seen(): string[] {
    return this.events.map((event) =>
      event.type === 'put' ? `put ${event.item.key} ${event.item.value.epoch}` : `del ${event.key}`,
    );
  }
}

export function describeStore(adapter: string, make: () => Promise<Store>): void {
  describe(`${adapter} as a store`, () => {
    let store: Store;
    beforeEach(async () => {
      store = await make();
    });
    afterEach(() => store.close());

    it('gives back what was created, with every field', async () => {
      const volume = sampleVolume('db', {
        chap: { user: 'u', secret: 'a secret of some length' },
        epoch: (1n << 63n) + 1n, // Beyond what a JSON number holds.
        labels: { 'team/name': 'storage ü' },
        source: { volumeId: 'v', volume: 'other', snapshotId: 's', temporary: true },
        publications: [{ nodeId: 'n', readOnly: true, shared: false }],
        unwanted: ['s'],
        problem: { code: 'IO', message: 'ä "quoted" \u0000 message', hint: 'hint' },
      });
      const created = await store.create('volume', 'db', volume);
      assert.deepEqual(created.value, volume);
      assert.deepEqual(await store.get('volume', 'db'), created);
    });

    it('gives back every kind, with every field', async () => {
      const node = { id: 'n', name: 'alpha', zone: 'z1', tags: ['ssd'], createdUnixMs: 1 };
      assert.deepEqual((await store.create('node', 'self', node)).value, node);
      const group = sampleGroup('nightly');
      assert.deepEqual((await store.create('snapshotGroup', 'nightly', group)).value, group);
      const disk = sampleDisk('d1');
      assert.deepEqual((await store.create('disk', 'd1', disk)).value, disk);
    });

    it('answers null for what is not there', async () => {
      assert.equal(await store.get('volume', 'none'), null);
    });

    it('refuses to create a key twice', async () => {
      await store.create('volume', 'db', sampleVolume('db'));
      await rejectsWith('ALREADY_EXISTS', store.create('volume', 'db', sampleVolume('db')));
    });

    it('keeps kinds apart', async () => {
      await store.create('volume', 'x', sampleVolume('x'));
      await store.create('node', 'x', sampleNode('x'));
      assert.equal((await store.list('node')).items.length, 1);
      assert.equal((await store.list('volume')).items.length, 1);
    });

    it('updates with the newest revision and refuses an older one', async () => {
      const first = await store.create('volume', 'db', sampleVolume('db'));
      const second = await store.update(
        'volume',
        'db',
        { ...first.value, epoch: 1n },
        first.revision,
      );
      assert.notEqual(second.revision, first.revision);
      await rejectsWith('CONFLICT', store.update('volume', 'db', first.value, first.revision));
      assert.equal((await store.get('volume', 'db'))?.value.epoch, 1n);
    });

    it('lets exactly one of many updates of one revision win', async () => {
      const first = await store.create('volume', 'db', sampleVolume('db'));
      const attempts = Array.from({ length: 8 }, (_, index) =>
        store.update('volume', 'db', { ...first.value, epoch: BigInt(index + 1) }, first.revision),
      );
      const results = await Promise.allSettled(attempts);
      const won = results.filter((result) => result.status === 'fulfilled');
      assert.equal(won.length, 1);
      assert.deepEqual((await store.get('volume', 'db'))?.value, won[0]?.value.value);
    });

    it('refuses to update or delete what is gone', async () => {
      const item = await store.create('volume', 'db', sampleVolume('db'));
      await store.delete('volume', 'db', item.revision);
      await rejectsWith('NOT_FOUND', store.update('volume', 'db', item.value, item.revision));
      await rejectsWith('NOT_FOUND', store.delete('volume', 'db', item.revision));
    });

    it('refuses to delete with an older revision', async () => {
      const first = await store.create('volume', 'db', sampleVolume('db'));
      await store.update('volume', 'db', { ...first.value, epoch: 1n }, first.revision);
      await rejectsWith('CONFLICT', store.delete('volume', 'db', first.revision));
    });

    it('never gives a recreated item a revision that it had before', async () => {
      const first = await store.create('volume', 'db', sampleVolume('db'));
      await store.delete('volume', 'db', first.revision);
      const again = await store.create('volume', 'db', sampleVolume('db'));
      assert.notEqual(again.revision, first.revision);
      await rejectsWith('CONFLICT', store.update('volume', 'db', again.value, first.revision));
    });

    it('lets each of many writes at once have its own outcome', async () => {
      const taken = await store.create('volume', 'taken', sampleVolume('taken'));
      const results = await Promise.allSettled([
        store.create('volume', 'a', sampleVolume('a')),
        store.create('volume', 'taken', sampleVolume('taken')),
        store.update('volume', 'taken', { ...taken.value, epoch: 1n }, taken.revision),
        store.delete('volume', 'missing', taken.revision),
        store.create('volume', 'b', sampleVolume('b')),
      ]);
      assert.deepEqual(
        results.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
      );
      assert.equal((await store.get('volume', 'taken'))?.value.epoch, 1n);
      assert.deepEqual(
        (await store.list('volume')).items.map((item) => item.key),
        ['a', 'b', 'taken'],
      );
    });

    it('counts the items of a kind', async () => {
      assert.equal(await store.count('volume'), 0);
      for (const name of ['a', 'b']) await store.create('volume', name, sampleVolume(name));
      await store.create('node', 'a', sampleNode('a'));
      assert.equal(await store.count('volume'), 2);
    });

    it('lists by key', async () => {
      for (const name of ['b', 'a', 'c']) await store.create('volume', name, sampleVolume(name));
      assert.deepEqual(
        (await store.list('volume')).items.map((item) => item.key),
        ['a', 'b', 'c'],
      );
    });

    it('shares no object with its callers', async () => {
      const volume = sampleVolume('db');
      const created = await store.create('volume', 'db', volume);
      volume.initiators.push('changed after');
      created.value.initiators.push('changed after');
      assert.deepEqual((await store.get('volume', 'db'))?.value.initiators, []);
    });

    it('delivers every change after a list, in order, each once', async () => {
      const first = await store.create('volume', 'a', sampleVolume('a'));
      const { revision } = await store.list('volume');
      const collector = new Collector();
      const watch = store.watch('volume', revision, collector.listener, collector.onLost);
      const second = await store.update(
        'volume',
        'a',
        { ...first.value, epoch: 1n },
        first.revision,
      );
      await store.create('volume', 'b', sampleVolume('b'));
      await store.create('node', 'n', sampleNode('n'));
      await store.delete('volume', 'a', second.revision);
      await collector.wait(3);
      assert.deepEqual(collector.seen, ['put a 1', 'put b 0', 'del a']);
      watch.close();
    });

    it('delivers what changed between the revision and the watch', async () => {
      const first = await store.create('volume', 'a', sampleVolume('a'));
      await store.update('volume', 'a', { ...first.value, epoch: 7n }, first.revision);
      const collector = new Collector();
      const watch = store.watch('volume', first.revision, collector.listener, collector.onLost);
      await collector.wait(1);
      assert.deepEqual(collector.seen, ['put a 7']);
      watch.close();
    });

    it('delivers only the changes of one key when asked to', async () => {
      const { revision } = await store.list('volume');
      const collector = new Collector();
      const { listener, onLost } = collector;
      const watch = store.watch('volume', revision, listener, onLost, 'b');
      for (const name of ['a', 'b', 'c']) await store.create('volume', name, sampleVolume(name));
      const item = await store.get('volume', 'b');
      assert.ok(item);
      await store.delete('volume', 'b', item.revision);
      await collector.wait(2);
      assert.deepEqual(collector.seen, ['put b 0', 'del b']);
      watch.close();
    });

    it('carries the last value with a deletion', async () => {
      const item = await store.create('volume', 'a', sampleVolume('a', { epoch: 3n }));
      const collector = new Collector();
      const watch = store.watch('volume', item.revision, collector.listener, collector.onLost);
      await store.delete('volume', 'a', item.revision);
      await collector.wait(1);
      const [event] = collector.events;
      assert.ok(event?.type === 'deleted');
      assert.equal(event.last.epoch, 3n);
      watch.close();
    });

    it('delivers nothing to a closed watch', async () => {
      const { revision } = await store.list('volume');
      const closed = new Collector();
      const open = new Collector();
      store.watch('volume', revision, closed.listener, closed.onLost).close();
      const watch = store.watch('volume', revision, open.listener, open.onLost);
      await store.create('volume', 'a', sampleVolume('a'));
      await open.wait(1);
      assert.deepEqual(closed.events, []);
      watch.close();
    });

    it('calls no listener before watch has returned', async () => {
      const first = await store.create('volume', 'a', sampleVolume('a'));
      await store.update('volume', 'a', { ...first.value, epoch: 1n }, first.revision);
      const collector = new Collector();
      const watch = store.watch('volume', first.revision, collector.listener, collector.onLost);
      assert.equal(collector.events.length, 0);
      await collector.wait(1);
      watch.close();
    });
  });
}
