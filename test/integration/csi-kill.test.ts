import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { ApiClient } from '../../src/api/client.js';
import { ApiProxy, type Moment, MOMENTS } from '../support/api-proxy.js';
import { CsiClient, repeated as repeatedCall } from '../support/csi-client.js';
import { CsiDriver, FakeMachineAgent } from '../support/csi-processes.js';
import { GIB, MOUNTED } from '../support/csi-rig.js';
import { Scratch } from '../support/scratch.js';

/** A snapshot that is being removed still counts for a moment. */
const PATIENCE = { also: /snapshot\(s\)/, everyMs: 20, timeoutMs: 20_000 };

type Step = () => Promise<unknown>;

function repeated<T>(call: () => Promise<T>): Promise<T> {
  return repeatedCall(call, PATIENCE);
}

describe('a CSI driver and its agent that are killed', function () {
  this.timeout(600_000);

  const scratch = new Scratch();
  const agent = new FakeMachineAgent(scratch, { loops: 1 });
  const proxy = new ApiProxy(agent.apiSocket);
  const driver = new CsiDriver(scratch.file('csi.sock'), scratch.file('proxy.sock'));
  const client = new CsiClient(scratch.file('csi.sock'));
  const api = new ApiClient({ socketPath: agent.apiSocket });
  let nodeId = '';

  before(async () => {
    await agent.start();
    await proxy.listen(scratch.file('proxy.sock'));
    await driver.start();
    nodeId = (await client.call('NodeGetInfo', {})).nodeId as string;
  });
  after(async () => {
    client.close();
    await api.close();
    await driver.kill();
    await agent.kill();
    await proxy.close();
    scratch.remove();
  });

  const create = (name: string, more: object = {}) =>
    client.call('CreateVolume', { name, volumeCapabilities: [MOUNTED], ...more });
  const snapshot = async (name: string): Promise<string> => {
    const answer = await client.call('CreateSnapshot', { sourceVolumeId: 'v', name });
    return answer.snapshot.snapshotId as string;
  };
  const published = () => ({ volumeId: 'v', nodeId, volumeCapability: MOUNTED });
  const publish = () => client.call('ControllerPublishVolume', published());
  const larger = { requiredBytes: String(2n * GIB) };
  const expand = () =>
    client.call('ControllerExpandVolume', { volumeId: 'v', capacityRange: larger });
  const staged = { volumeId: 'v', stagingTargetPath: scratch.file('staging') };
  const stage = () => client.call('NodeStageVolume', { ...staged, volumeCapability: MOUNTED });
  const unstage = () => client.call('NodeUnstageVolume', staged);
  const target = { volumeId: 'v', targetPath: scratch.file('target') };
  const mount = () =>
    client.call('NodePublishVolume', { ...staged, ...target, volumeCapability: MOUNTED });
  const unmount = () => client.call('NodeUnpublishVolume', target);
  const group = async (): Promise<string> => {
    const request = { name: 'g', sourceVolumeIds: ['v', 'w'] };
    const answer = await client.call('CreateVolumeGroupSnapshot', request);
    return answer.groupSnapshot.groupSnapshotId as string;
  };

  /** Each call, with what has to be there before; it is prepared and cleaned up anew for every kill. */
  const CONTROLLER_CALLS: Record<string, () => Promise<Step>> = {
    CreateVolume: async () => () => create('v'),
    'CreateVolume of a snapshot': async () => {
      await create('v');
      const snapshotId = await snapshot('s');
      return () => create('w', { volumeContentSource: { snapshot: { snapshotId } } });
    },
    'CreateVolume of a volume': async () => {
      await create('v');
      return () => create('w', { volumeContentSource: { volume: { volumeId: 'v' } } });
    },
    ControllerPublishVolume: async () => {
      await create('v');
      return publish;
    },
    ControllerUnpublishVolume: async () => {
      await create('v');
      await publish();
      return () => client.call('ControllerUnpublishVolume', { volumeId: 'v', nodeId });
    },
    ControllerExpandVolume: async () => {
      await create('v');
      return expand;
    },
    ControllerModifyVolume: async () => {
      await create('v');
      const mutableParameters = { 'label/team': 'blue' };
      return () => client.call('ControllerModifyVolume', { volumeId: 'v', mutableParameters });
    },
    CreateSnapshot: async () => {
      await create('v');
      return () => snapshot('s');
    },
    DeleteSnapshot: async () => {
      await create('v');
      const snapshotId = await snapshot('s');
      return () => client.call('DeleteSnapshot', { snapshotId });
    },
    CreateVolumeGroupSnapshot: async () => {
      await create('v');
      await create('w');
      return group;
    },
    DeleteVolumeGroupSnapshot: async () => {
      await create('v');
      await create('w');
      const groupSnapshotId = await group();
      return () => client.call('DeleteVolumeGroupSnapshot', { groupSnapshotId });
    },
    DeleteVolume: async () => {
      await create('v');
      return () => client.call('DeleteVolume', { volumeId: 'v' });
    },
  };

  /** Likewise. The fake machine is within the agent and would end with it: test/e2e/csi-kill.guest.ts kills that one. */
  const NODE_CALLS: Record<string, () => Promise<Step>> = {
    NodeStageVolume: async () => {
      await create('v');
      await publish();
      return stage;
    },
    NodePublishVolume: async () => {
      await create('v');
      await publish();
      await stage();
      return mount;
    },
    NodeExpandVolume: async () => {
      await create('v');
      await publish();
      await stage();
      await mount();
      await expand();
      const volumePath = target.targetPath;
      const request = { volumeId: 'v', volumePath, capacityRange: larger };
      return () => client.call('NodeExpandVolume', request);
    },
    NodeUnpublishVolume: async () => {
      await create('v');
      await publish();
      await stage();
      await mount();
      return unmount;
    },
    NodeUnstageVolume: async () => {
      await create('v');
      await publish();
      await stage();
      return unstage;
    },
  };

  for (const [name, prepare] of Object.entries({ ...CONTROLLER_CALLS, ...NODE_CALLS })) {
    for (const victim of name in NODE_CALLS ? [driver] : [driver, agent]) {
      const who = victim === driver ? 'driver' : 'agent';
      it(`end ${name} when it is repeated, wherever the ${who} was killed`, async () => {
        let kills = 0;
        for (const moment of MOMENTS) {
          for (let step = 1; await killsAt(step, moment, victim, prepare); step += 1) kills += 1;
        }
        assert.ok(kills > 0, 'nobody was killed');
      });
    }
  }

  it('leave nothing behind', async () => {
    assert.deepEqual(await api.volumes(), []);
    assert.deepEqual(await api.snapshotGroups(), []);
    assert.deepEqual(readdirSync(`${agent.dataDirectory}/disk0/replicas`), []);
    assert.doesNotMatch(driver.log + agent.log, /CHECK failed|fault of ours|that nobody/);
  });

  /** False when the call has no such step. */
  async function killsAt(
    step: number,
    moment: Moment,
    victim: CsiDriver | FakeMachineAgent,
    prepare: () => Promise<Step>,
  ): Promise<boolean> {
    const call = await prepare();
    proxy.set({ left: step, moment, strike: () => victim.kill() });
    const first = await call().catch((error: unknown) => error);
    const struck = await proxy.struck();
    if (struck) await victim.start();
    else if (first instanceof Error) throw first;
    const answer = await repeated(call);
    assert.deepEqual(await repeated(call), answer, 'the same answer every time');
    await cleanUp();
    return struck;
  }

  async function cleanUp(): Promise<void> {
    await repeated(unmount);
    await repeated(unstage);
    for (const { id, members } of await repeated(() => api.snapshotGroups())) {
      const snapshotIds = members.map(({ volume, snapshot }) => `${volume}/${snapshot}`);
      const request = { groupSnapshotId: id, snapshotIds };
      await repeated(() => client.call('DeleteVolumeGroupSnapshot', request));
    }
    const { entries } = await repeated(() => client.call('ListSnapshots', {}));
    for (const { snapshot } of entries as { snapshot: { snapshotId: string } }[]) {
      await repeated(() => client.call('DeleteSnapshot', snapshot));
    }
    for (const volumeId of ['v', 'w']) {
      await repeated(() => client.call('ControllerUnpublishVolume', { volumeId, nodeId }));
      await repeated(() => client.call('DeleteVolume', { volumeId }));
    }
    assert.deepEqual(await api.volumes(), []);
  }
});
