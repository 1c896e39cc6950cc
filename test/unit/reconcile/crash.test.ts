/**
 * The agent is killed at every step: before and after every write to the store and every call of the
 * engine. What a new agent finds is what the dead one had made durable, and it must bring every volume
 * to what was wanted, within the two seconds that a restart may take.
 */
import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlPlane } from '../../support/control-plane.js';
import type { MountVolume } from '../../../src/volume/mount-service.js';
import { FakeDisks } from '../../support/fake-engine.js';
import { FakeKernel } from '../../support/fake-node.js';
import { Mortal } from '../../support/mortal.js';

const GIB = 1n << 30n;
const RESTART_MS = 2000;

const MOUNT: MountVolume = {
  mountPoint: '/srv/kept',
  fileSystem: 'ext4',
  readOnly: false,
  options: [],
};

/** What a user does until the agent dies under it. */
async function life(plane: ControlPlane): Promise<'lived'> {
  const { volumes, snapshots, mounts } = plane;
  await plane.diskService.add('/disk0');
  await plane.controller.start();
  await volumes.create({ name: 'kept', sizeBytes: GIB });
  await volumes.attach('kept');
  await volumes.attach('kept', { device: { frontend: 'nbd' } });
  await mounts.mount('kept', MOUNT);
  await snapshots.create('kept', 's1');
  await volumes.expand('kept', 2n * GIB);
  await snapshots.delete('kept', 's1');
  await volumes.create({ name: 'gone', sizeBytes: GIB });
  await snapshots.create('gone', 's1');
  await snapshots.create('gone', 's2');
  await snapshots.revert('gone', 's1');
  await snapshots.delete('gone', 's2');
  await volumes.attach('gone', { device: { frontend: 'auto' } });
  await volumes.detach('gone');
  await volumes.expand('gone', 2n * GIB);
  await volumes.delete('gone');
  return 'lived';
}

/** Null once everything is as wanted; else what is not. */
async function unsettled(plane: ControlPlane): Promise<string | null> {
  for (const { value: volume } of (await plane.store.list('volume')).items) {
    const open = plane.open.get(volume);
    const wanted = volume.desired.attached ? 'attached' : 'detached';
    if (volume.desired.deleted) return `${volume.name} is not deleted yet`;
    if (volume.state !== wanted) return `${volume.name} is ${volume.state}, not ${wanted}`;
    if (volume.sizeBytes !== volume.desired.sizeBytes) return `${volume.name} has not grown`;
    if (volume.merging) return `${volume.name} is being merged`;
    if (volume.problem !== null) return `${volume.name}: ${volume.problem.message}`;
    const device = plane.node.kernel.devices.get(volume.name);
    if (!volume.desired.attached) {
      if (device !== undefined || volume.device !== null) return `${volume.name} has a device`;
      continue;
    }
    if ((volume.desired.device !== null) !== (device !== undefined)) return 'device';
    if (device !== undefined) {
      if (device.connectedTo !== plane.node) return `${volume.name}: its device is dead`;
      if (volume.device?.kernelPath !== device.kernelPath) return 'another device is written down';
      if (volume.device.sizeBytes !== volume.sizeBytes) return `the device has not grown`;
    }
    if (open?.purpose !== 'attach' || open.epoch !== volume.epoch) return 'opened wrongly';
    for (const frontend of volume.desired.frontends) {
      if (!open.offered.has(frontend)) return `${volume.name} is not offered through ${frontend}`;
    }
  }
  return null;
}

async function assertSound(plane: ControlPlane): Promise<void> {
  const volumes = (await plane.store.list('volume')).items.map((item) => item.value);
  const claimed = volumes.flatMap((v) => v.replicas.map((r) => `/disk0/replicas/${r.directory}`));
  assert.deepEqual([...plane.disks.replicas.keys()].sort(), claimed.sort(), 'directories');
  for (const volume of volumes) {
    const path = `/disk0/replicas/${volume.replicas[0]?.directory ?? ''}`;
    const replica = plane.disks.replicas.get(path);
    assert.ok(replica, path);
    assert.ok(
      replica.epoch <= volume.epoch,
      'W1: no replica has seen an epoch that the store has not',
    );
    assert.equal(replica.sizeBytes, volume.sizeBytes);
    assert.ok(!replica.snapshots.some((snapshot) => snapshot.removing), 'merges went on');
  }
}

describe('an agent that is killed at any step', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'aurochs-crash-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  it('brings every volume to what was wanted when it is started again', async function () {
    this.timeout(120_000);
    for (let diesAt = 0; ; ++diesAt) {
      const disks = new FakeDisks();
      const kernel = new FakeKernel();
      const storePath = join(directory, `${diesAt}.db`);
      const mortal = new Mortal(diesAt);
      const first = new ControlPlane({ disks, kernel, storePath, wrapStore: mortal.wrap });
      first.engine.hook = mortal.step;
      first.node.hook = mortal.step;
      const end = await Promise.race([life(first), mortal.death]);
      await first.store.close();
      const mounted = kernel.devices.get('kept')?.mountPoints.length === 1;

      const second = new ControlPlane({ disks, kernel, storePath });
      await second.controller.start();
      const deadline = Date.now() + RESTART_MS;
      for (let why = await unsettled(second); why !== null; why = await unsettled(second)) {
        if (Date.now() > deadline) {
          assert.fail(`killed ${mortal.lastStep} (step ${diesAt}): ${why}`);
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      await assertSound(second);
      const { calls } = second.node;
      assert.ok(!mounted || !calls.includes('detach kept'), 'a mounted device was let go');
      for (const { sizeBytes } of kernel.devices.values()) assert.equal(sizeBytes % GIB, 0n);
      await second.stop();
      rmSync(storePath);
      if (end === 'lived') {
        assert.ok(diesAt > 110, `only ${diesAt} steps: the test has lost its grip`);
        return;
      }
    }
  });

  it('opens five hundred volumes again within two seconds, some at the same time', async function () {
    this.timeout(60_000);
    const disks = new FakeDisks();
    const storePath = join(directory, 'many.db');
    const first = await ControlPlane.started({ disks, storePath });
    const names = Array.from({ length: 500 }, (_, index) => `v${index}`);
    await Promise.all(names.map((name) => first.volumes.create({ name, sizeBytes: GIB })));
    await Promise.all(names.map((name) => first.volumes.attach(name)));
    await first.store.close(); // Killed: nothing was closed.

    const second = new ControlPlane({ disks, storePath });
    const begin = Date.now();
    await second.controller.start();
    while ((await unsettled(second)) !== null) {
      assert.ok(Date.now() - begin < RESTART_MS, 'not within two seconds');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(second.engine.opened.size, 500);
    await second.stop();
  });
});
