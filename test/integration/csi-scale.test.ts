import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { ApiClient } from '../../src/api/client.js';
import { CsiClient } from '../support/csi-client.js';
import { CsiDriver, FakeMachineAgent } from '../support/csi-processes.js';
import { MOUNTED } from '../support/csi-rig.js';
import { Scratch } from '../support/scratch.js';

const VOLUMES = 100;
const ONE_AFTER_THE_OTHER = 20;

function medianOf(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? NaN;
}

describe('a CSI driver with much to do', function () {
  this.timeout(300_000);

  const scratch = new Scratch();
  const agent = new FakeMachineAgent(scratch);
  const socketPath = scratch.file('csi.sock');
  const driver = new CsiDriver(socketPath, agent.apiSocket);
  const client = new CsiClient(socketPath);
  const api = new ApiClient({ socketPath: agent.apiSocket });
  before(async () => {
    await agent.start();
    await driver.start();
  });
  after(async () => {
    client.close();
    await api.close();
    await driver.kill();
    await agent.kill();
    scratch.remove();
  });

  /** Does it for all volumes at once, and prints how long one took. */
  const forAll = async (what: string, step: (volumeId: string) => Promise<unknown>) => {
    const started = performance.now();
    const times = await Promise.all(
      Array.from({ length: VOLUMES }, async (_, i) => {
        await step(`pvc-${i}`);
        return performance.now() - started;
      }),
    );
    const [median, last] = [medianOf(times), Math.max(...times)].map(Math.round);
    console.log(`      ${what}: ${VOLUMES} at once, median ${median} ms, last ${last} ms`);
  };

  it(`takes ${VOLUMES} volumes through their lives at once and leaves nothing behind`, async () => {
    const { nodeId } = (await client.call('NodeGetInfo', {})) as { nodeId: string };
    const staging = (volumeId: string): string => scratch.file('staging', volumeId);
    const target = (volumeId: string): string => scratch.file('target', volumeId);
    const volumeCapability = MOUNTED;
    await forAll('CreateVolume', (name) =>
      client.call('CreateVolume', { name, volumeCapabilities: [MOUNTED] }),
    );
    await timeSnapshots();
    await forAll('ControllerPublishVolume', (volumeId) =>
      client.call('ControllerPublishVolume', { volumeId, nodeId, volumeCapability }),
    );
    await forAll('NodeStageVolume', (volumeId) => {
      const stagingTargetPath = staging(volumeId);
      return client.call('NodeStageVolume', { volumeId, stagingTargetPath, volumeCapability });
    });
    await forAll('NodePublishVolume', (volumeId) => {
      const paths = { stagingTargetPath: staging(volumeId), targetPath: target(volumeId) };
      return client.call('NodePublishVolume', { volumeId, volumeCapability, ...paths });
    });
    assert.equal((await api.health()).volumes.attached, VOLUMES);
    await forAll('NodeUnpublishVolume', (volumeId) =>
      client.call('NodeUnpublishVolume', { volumeId, targetPath: target(volumeId) }),
    );
    await forAll('NodeUnstageVolume', (volumeId) =>
      client.call('NodeUnstageVolume', { volumeId, stagingTargetPath: staging(volumeId) }),
    );
    await forAll('ControllerUnpublishVolume', (volumeId) =>
      client.call('ControllerUnpublishVolume', { volumeId, nodeId }),
    );
    await forAll('DeleteVolume', (volumeId) => client.call('DeleteVolume', { volumeId }));
    assert.deepEqual(await api.volumes(), []);
    assert.deepEqual(readdirSync(`${agent.dataDirectory}/disk0/replicas`), []);
    assert.deepEqual(readdirSync(scratch.file('target')), []);
  });

  /** The list asks every volume, which is opened for it when it is detached. */
  const timeSnapshots = async (): Promise<void> => {
    const started = performance.now();
    const request = { sourceVolumeId: 'pvc-0', name: 'first' };
    const { snapshot } = await client.call('CreateSnapshot', request);
    const taken = performance.now();
    assert.equal((await client.call('ListSnapshots', {})).entries.length, 1);
    const listed = performance.now();
    await client.call('DeleteSnapshot', snapshot as { snapshotId: string });
    const [take, list] = [taken - started, listed - taken].map(Math.round);
    console.log(
      `      CreateSnapshot: ${take} ms, ListSnapshots: ${list} ms, of ${VOLUMES} volumes`,
    );
  };

  it('costs little beside what the agent takes for the same', async () => {
    const timed = async (work: (name: string) => Promise<unknown>): Promise<number> => {
      const times: number[] = [];
      for (let i = 0; i < ONE_AFTER_THE_OTHER; i += 1) {
        const started = performance.now();
        await work(`one-${i}`);
        times.push(performance.now() - started);
      }
      return medianOf(times);
    };
    const created = await timed((name) =>
      client.call('CreateVolume', { name, volumeCapabilities: [MOUNTED] }),
    );
    await timed((volumeId) => client.call('DeleteVolume', { volumeId }));
    const asked = await timed((name) => api.createVolume({ name, size: '1GiB' }));
    const read = await timed(() => api.nodes());
    await timed((name) => api.deleteVolume(name));
    const ms = (each: number): string => `${each.toFixed(1)} ms`;
    console.log(
      `      one CreateVolume ${ms(created)}; the agent's part ${ms(asked)}; a read ${ms(read)}`,
    );
    assert.deepEqual(await api.volumes(), []);
  });
});
