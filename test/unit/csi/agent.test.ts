/** The driver over the agent's real API: what the model of an agent in the other specs promises is kept. */
import assert from 'node:assert/strict';
import { AurochsError } from '../../../src/core/errors.js';
import { ApiAgent } from '../../support/api-agent.js';
import { withCode } from '../../support/csi-client.js';
import { CsiRig, GIB, MOUNTED } from '../../support/csi-rig.js';

const COPY_WAIT_MS = 20;

describe('csi: over the agent’s API', function () {
  this.timeout(20_000);
  let agent: ApiAgent;
  let rig: CsiRig;
  beforeEach(async () => {
    agent = await ApiAgent.start({ copyWaitMs: COPY_WAIT_MS });
    rig = await CsiRig.start(agent.client);
  });
  afterEach(async () => {
    await rig.stop();
    await agent.stop();
  });

  const create = (name: string, more: object = {}) =>
    rig.client.call('CreateVolume', { name, volumeCapabilities: [MOUNTED], ...more });
  const clone = (name: string, volumeId: string) =>
    create(name, { volumeContentSource: { volume: { volumeId } } });
  const place = { volumeId: 'v', stagingTargetPath: '/staging' };

  it('takes a volume through its life, each step twice', async () => {
    const twice = async (step: () => Promise<unknown>): Promise<void> => {
      assert.deepEqual(await step(), await step());
    };
    const { nodeId } = await rig.client.call('NodeGetInfo', {});
    await twice(() => create('v', { parameters: { fsType: 'xfs', diskSelector: '' } }));
    const published = { volumeId: 'v', nodeId: nodeId as string, volumeCapability: MOUNTED };
    await twice(() => rig.client.call('ControllerPublishVolume', published));
    const staged = { ...place, volumeCapability: MOUNTED };
    await twice(() => rig.client.call('NodeStageVolume', staged));
    const bound = { ...staged, targetPath: '/target' };
    await twice(() => rig.client.call('NodePublishVolume', bound));
    const busy = rig.client.call('ControllerUnpublishVolume', published);
    await assert.rejects(busy, withCode('ABORTED'));
    await twice(() =>
      rig.client.call('NodeGetVolumeStats', { volumeId: 'v', volumePath: '/target' }),
    );
    const capacityRange = { requiredBytes: String(2n * GIB) };
    await twice(() => rig.client.call('ControllerExpandVolume', { volumeId: 'v', capacityRange }));
    await twice(() =>
      rig.client.call('NodeExpandVolume', { volumeId: 'v', volumePath: '/target' }),
    );
    await twice(() => rig.client.call('ControllerGetVolume', { volumeId: 'v' }));
    await twice(() =>
      rig.client.call('NodeUnpublishVolume', { volumeId: 'v', targetPath: '/target' }),
    );
    await twice(() => rig.client.call('NodeUnstageVolume', place));
    await twice(() => rig.client.call('ControllerUnpublishVolume', published));
    await twice(() => rig.client.call('DeleteVolume', { volumeId: 'v' }));
    assert.deepEqual(await agent.client.volumes(), []);
    assert.equal(agent.plane.node.kernel.devices.size, 0);
  });

  it('has snapshots, alone and in groups', async () => {
    await create('v');
    await create('w');
    const alone = await rig.snapshot('v', 'alone');
    const request = { name: 'both', sourceVolumeIds: ['v', 'w'] };
    const { groupSnapshot } = await rig.client.call('CreateVolumeGroupSnapshot', request);
    const again = await rig.client.call('CreateVolumeGroupSnapshot', request);
    assert.deepEqual(again.groupSnapshot, groupSnapshot);
    const { entries } = await rig.client.call('ListSnapshots', {});
    assert.equal(entries.length, 3);
    const [member] = groupSnapshot.snapshots as { snapshotId: string }[];
    const deletion = rig.client.call('DeleteSnapshot', { snapshotId: member?.snapshotId ?? '' });
    await assert.rejects(deletion, withCode('INVALID_ARGUMENT'));
    const remove = rig.client.call('DeleteVolume', { volumeId: 'w' });
    await assert.rejects(remove, withCode('FAILED_PRECONDITION'));
    const groupSnapshotId = groupSnapshot.groupSnapshotId as string;
    await rig.client.call('DeleteVolumeGroupSnapshot', { groupSnapshotId });
    await rig.client.call('DeleteSnapshot', { snapshotId: alone });
    for (const volumeId of ['v', 'w']) await rig.client.call('DeleteVolume', { volumeId });
  });

  it('tells what differs between two snapshots', async () => {
    await create('v');
    const base = await rig.snapshot('v', 'a');
    const target = await rig.snapshot('v', 'b');
    const stream = rig.client.stream('GetMetadataDelta', {
      baseSnapshotId: base,
      targetSnapshotId: target,
    });
    const messages: { blockMetadata: object[] }[] = [];
    for await (const message of stream) messages.push(message as { blockMetadata: object[] });
    const blocks = messages.flatMap(({ blockMetadata }) => blockMetadata);
    assert.deepEqual(blocks, [{ byteOffset: '0', sizeBytes: '4096' }]);
  });

  it('waits for a copy by being asked again', async () => {
    await create('v');
    const copying = holdCopies();
    await assert.rejects(clone('w', 'v'), withCode('ABORTED', /% copied/));
    await assert.rejects(clone('w', 'v'), withCode('ABORTED', /% copied/));
    const source = rig.client.call('DeleteVolume', { volumeId: 'v' });
    await assert.rejects(source, withCode('FAILED_PRECONDITION'));
    copying.end();
    const { volume } = await untilDone(() => clone('w', 'v'));
    assert.equal(volume.contentSource.volume.volumeId, 'v');
    await untilDone(() => rig.client.call('DeleteVolume', { volumeId: 'v' }));
    assert.equal((await clone('w', 'v')).volume.volumeId, 'w');
  });

  it('takes away a copy that failed later, says why, and makes it anew', async () => {
    await create('v');
    const copying = holdCopies();
    await assert.rejects(clone('w', 'v'), withCode('ABORTED'));
    copying.fail(new AurochsError('NO_SPACE', 'the disk is full'));
    const failed = untilDone(() => clone('w', 'v'));
    await assert.rejects(failed, withCode('RESOURCE_EXHAUSTED', /full/));
    await untilDone(() => clone('w', 'v'));
  });

  it('deletes a copy that is under way', async () => {
    await create('v');
    const copying = holdCopies();
    await assert.rejects(clone('w', 'v'), withCode('ABORTED'));
    const removed = rig.client.call('DeleteVolume', { volumeId: 'w' });
    copying.fail(new AurochsError('ABORTED', 'the copy was ended'));
    await removed;
    assert.deepEqual(
      (await agent.client.volumes()).map(({ name }) => name),
      ['v'],
    );
  });

  it('lists no snapshots when a volume cannot be opened, rather than too few', async () => {
    await create('v');
    await rig.snapshot('v', 's');
    await create('w');
    for (const [path, replica] of agent.plane.disks.replicas) {
      if (path.includes('/w-')) replica.damaged = new AurochsError('CORRUPTION', 'damaged');
    }
    await assert.rejects(rig.client.call('ListSnapshots', {}), withCode('UNAVAILABLE', /w/));
    await rig.snapshot('v', 'new');
  });

  it('takes a snapshot without opening other volumes, and refuses the name of another’s', async () => {
    for (const name of ['v', 'w', 'x']) await create(name);
    await rig.snapshot('v', 's');
    await assert.rejects(rig.snapshot('w', 's'), withCode('ALREADY_EXISTS', /volume, v/));
    const { calls } = agent.plane.engine;
    assert.ok(!calls.some((call) => call.startsWith('openVolume x-')), calls.join('\n'));
    await rig.client.call('DeleteSnapshot', { snapshotId: await rig.snapshot('v', 's') });
    await rig.snapshot('w', 's');
  });

  it('says what is wrong with a place, a node and a size', async () => {
    const tags = create('v', { parameters: { diskSelector: 'none' } });
    await assert.rejects(tags, withCode('FAILED_PRECONDITION', /none/));
    await create('v');
    const node = { volumeId: 'v', nodeId: 'none', volumeCapability: MOUNTED };
    const publish = rig.client.call('ControllerPublishVolume', node);
    await assert.rejects(publish, withCode('NOT_FOUND', /none/));
    const capacityRange = { requiredBytes: String(1n << 46n) };
    const huge = create('huge', { capacityRange });
    await assert.rejects(huge, withCode('OUT_OF_RANGE'));
  });

  /** The first copy waits until it is told how it ends. */
  function holdCopies(): { end: () => void; fail: (error: AurochsError) => void } {
    let end = (): void => undefined;
    let fail: (error: AurochsError) => void = () => undefined;
    const copied = new Promise<void>((resolve, reject) => {
      end = resolve;
      fail = reject;
    });
    const { engine } = agent.plane;
    let isFirst = true;
    engine.hook = (where, call) => {
      if (where !== 'before' || !call.startsWith('copySnapshot ') || !isFirst) return undefined;
      isFirst = false;
      return copied;
    };
    return { end, fail };
  }

  /** Asks again while the answer is one that passes, as a CO does. */
  async function untilDone<T>(call: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await call();
      } catch (error) {
        if (!/ABORTED|snapshot\(s\)/.test((error as Error).message)) throw error;
      }
    }
  }
});
