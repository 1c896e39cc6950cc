/**
 * The agent is killed at every step of what makes volumes of others, publishes them and takes groups of snapshots:
 * before and after every write to the store and every call of the engine and the node. The next agent must find each
 * of them done or undone, and nothing left over.
 */
import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Volume } from '../../../src/volume/model.js';
import { ControlPlane } from '../../support/control-plane.js';
import { FakeDisks } from '../../support/fake-engine.js';
import { FakeKernel } from '../../support/fake-node.js';
import { Mortal } from '../../support/mortal.js';

const GIB = 1n << 30n;
const SETTLED_MS = 5_000;

/** What was there before the user began. */
async function volumesBefore(plane: ControlPlane): Promise<void> {
  await plane.diskService.add('/disk0');
  await plane.addNode();
  await plane.controller.start();
  for (const name of ['a', 'b']) await plane.volumes.create({ name, sizeBytes: GIB });
  await plane.snapshots.create('a', 'kept');
}

type Life = (plane: ControlPlane) => Promise<void>;

const LIVES: Record<string, Life> = {
  'a copy of a snapshot': async ({ volumes }) => {
    const source = { volume: 'a', snapshot: 'kept' };
    await volumes.create({ name: 'copy', sizeBytes: 2n * GIB, source });
  },
  'a copy of a volume': async ({ volumes }) => {
    await volumes.create({ name: 'copy', sizeBytes: GIB, source: { volume: 'a' } });
  },
  'a copy of an attached volume, which is deleted again': async ({ volumes }) => {
    await volumes.attach('a', { device: { frontend: 'nbd' } });
    await volumes.create({ name: 'copy', sizeBytes: GIB, source: { volume: 'a' } });
    await volumes.delete('copy');
  },
  publications: async ({ publications }) => {
    const sharing = { readOnly: true, shared: true };
    await publications.publish('a', { node: 'alpha' });
    await publications.publish('b', { node: 'alpha', ...sharing });
    await publications.unpublish('a', 'alpha');
    await publications.unpublish('b');
  },
  'a group of snapshots': async ({ volumes, groups }) => {
    await volumes.attach('b', { device: { frontend: 'nbd' } });
    await groups.create('group', ['a', 'b']);
    await groups.delete('group');
  },
};

function isPublished({ publications }: Volume): boolean {
  return publications.length > 0;
}

/** Null once nothing is left to do; else what is. */
async function unsettled(plane: ControlPlane): Promise<string | null> {
  for (const { value: volume } of (await plane.store.list('volume')).items) {
    const { name, state, desired, problem } = volume;
    const wanted = desired.attached ? 'attached' : 'detached';
    if (desired.deleted) return `${name} is not deleted yet`;
    if (state !== wanted) return `${name} is ${state}, not ${wanted}`;
    if (volume.merging || volume.unwanted.length > 0) return `${name} has snapshots to remove`;
    if (problem !== null) return `${name}: ${problem.message}`;
    const hasDevice = plane.node.kernel.devices.has(name);
    if (hasDevice !== (desired.device !== null)) return `${name}: its device is not as wanted`;
    if (isPublished(volume) && !hasDevice) return `${name} is published without a device`;
  }
  return null;
}

async function assertNothingLeft(plane: ControlPlane): Promise<void> {
  const volumes = (await plane.store.list('volume')).items.map((item) => item.value);
  const claimed = volumes.flatMap((v) => v.replicas.map((r) => `/disk0/replicas/${r.directory}`));
  assert.deepEqual([...plane.disks.replicas.keys()].sort(), claimed.sort(), 'directories');
  const groups = (await plane.store.list('snapshotGroup')).items.map((item) => item.value);
  assert.ok(groups.every(({ state }) => state === 'taken'));
  const wanted = new Set(groups.flatMap(({ members }) => members.map((each) => each.snapshotId)));
  for (const volume of volumes) {
    const path = `/disk0/replicas/${volume.replicas[0]?.directory ?? ''}`;
    const replica = plane.disks.replicas.get(path);
    assert.ok(replica, path);
    assert.equal(replica.sizeBytes, volume.sizeBytes);
    assert.equal(volume.source === null, replica.copyOf === undefined, 'copies are of something');
    for (const { id, name } of replica.snapshots) {
      // A group is deleted member by member: its record stays until the last has gone.
      assert.ok(name === 'kept' || wanted.has(id), `${volume.name} has ${name} left`);
    }
  }
}

describe('an agent that is killed while it copies, publishes or takes a group', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'aurochs-crash-copies-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  for (const [what, life] of Object.entries(LIVES)) {
    it(`leaves ${what} done or undone`, async function () {
      this.timeout(120_000);
      for (let diesAt = 0; ; ++diesAt) {
        const disks = new FakeDisks();
        const kernel = new FakeKernel();
        const storePath = join(directory, `${diesAt}.db`);
        const mortal = new Mortal(diesAt, false);
        const first = new ControlPlane({ disks, kernel, storePath, wrapStore: mortal.wrap });
        await volumesBefore(first);
        first.engine.hook = mortal.step;
        first.node.hook = mortal.step;
        mortal.begin();
        const end = await Promise.race([life(first).then(() => 'lived'), mortal.death]);
        await first.store.close();

        const second = new ControlPlane({ disks, kernel, storePath });
        await second.groups.removeUnfinished();
        await second.controller.start();
        const deadline = Date.now() + SETTLED_MS;
        for (let why = await unsettled(second); why !== null; why = await unsettled(second)) {
          if (Date.now() > deadline) {
            assert.fail(`killed ${mortal.lastStep} (step ${diesAt}): ${why}`);
          }
          await new Promise((resolve) => setImmediate(resolve));
        }
        await assertNothingLeft(second);
        await second.stop();
        rmSync(storePath);
        if (end === 'lived') {
          assert.ok(diesAt > 6, `only ${diesAt} steps: the test has lost its grip`);
          return;
        }
      }
    });
  }
});
