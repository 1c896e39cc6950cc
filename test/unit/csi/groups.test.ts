import assert from 'node:assert/strict';
import { AurochsError } from '../../../src/core/errors.js';
import { withCode } from '../../support/csi-client.js';
import { CsiRig } from '../../support/csi-rig.js';
import { ModelAgent } from '../../support/model-agent.js';

const NO_GROUP = '00000000-0000-4000-8000-000000000000';

describe('csi: group snapshots', () => {
  let behind: ModelAgent;
  let rig: CsiRig;
  beforeEach(async () => {
    behind = new ModelAgent();
    rig = await CsiRig.start(behind);
    for (const name of ['data', 'log']) await rig.volume(name);
  });
  afterEach(() => rig.stop());

  const create = (name: string, sourceVolumeIds: string[]) =>
    rig.client.call('CreateVolumeGroupSnapshot', { name, sourceVolumeIds });
  const get = (groupSnapshotId: string, snapshotIds: string[] = []) =>
    rig.client.call('GetVolumeGroupSnapshot', { groupSnapshotId, snapshotIds });
  const remove = (groupSnapshotId: string, snapshotIds: string[] = []) =>
    rig.client.call('DeleteVolumeGroupSnapshot', { groupSnapshotId, snapshotIds });
  const idsOf = ({ snapshots }: { snapshots: { snapshotId: string }[] }): string[] =>
    snapshots.map(({ snapshotId }) => snapshotId);

  it('takes one of each volume, and answers the group there is when repeated', async () => {
    const { groupSnapshot } = await create('nightly', ['data', 'log']);
    assert.equal(groupSnapshot.readyToUse, true);
    assert.equal(groupSnapshot.snapshots.length, 2);
    for (const snapshot of groupSnapshot.snapshots) {
      assert.equal(snapshot.groupSnapshotId, groupSnapshot.groupSnapshotId);
      const { entries } = await rig.client.call('ListSnapshots', {
        snapshotId: snapshot.snapshotId as string,
      });
      assert.equal(entries[0].snapshot.groupSnapshotId, groupSnapshot.groupSnapshotId);
    }
    assert.deepEqual((await create('nightly', ['log', 'data'])).groupSnapshot, groupSnapshot);
    await assert.rejects(create('nightly', ['data']), withCode('ALREADY_EXISTS'));
  });

  it('refuses missing and doubled volumes, too many, and one that is not there', async () => {
    await assert.rejects(create('', ['data']), withCode('INVALID_ARGUMENT'));
    await assert.rejects(create('g', []), withCode('INVALID_ARGUMENT'));
    await assert.rejects(create('g', ['data', 'data']), withCode('INVALID_ARGUMENT'));
    await assert.rejects(create('g', ['data', 'none']), withCode('NOT_FOUND'));
    const many = Array.from({ length: 65 }, (_, i) => `v${i}`);
    await assert.rejects(create('g', many), withCode('RESOURCE_EXHAUSTED', /64/));
    assert.equal(behind.groups.size, 0);
  });

  it('tells a group by its id, and finds a wrong list of snapshots', async () => {
    const { groupSnapshot } = await create('g', ['data', 'log']);
    const id = groupSnapshot.groupSnapshotId as string;
    const ids = idsOf(groupSnapshot as never);
    assert.deepEqual((await get(id, ids.reverse())).groupSnapshot, groupSnapshot);
    await assert.rejects(get(id, ids.slice(1)), withCode('INVALID_ARGUMENT'));
    await assert.rejects(get(NO_GROUP), withCode('NOT_FOUND'));
    await assert.rejects(get('g'), withCode('NOT_FOUND'));
    await assert.rejects(get(''), withCode('INVALID_ARGUMENT'));
  });

  it('is not ready once a member has gone with its volume, also if a volume of that name is back', async () => {
    const { groupSnapshot } = await create('g', ['data', 'log']);
    behind.stored.delete('log');
    await rig.volume('log');
    const { groupSnapshot: now } = await get(groupSnapshot.groupSnapshotId as string);
    assert.equal(now.readyToUse, false);
    const ready = (now.snapshots as { readyToUse: boolean }[]).map((each) => each.readyToUse);
    assert.deepEqual(ready, [true, false]);
  });

  it('deletes a group with its snapshots, and is content when it is gone', async () => {
    const { groupSnapshot } = await create('g', ['data', 'log']);
    const id = groupSnapshot.groupSnapshotId as string;
    await assert.rejects(remove(id, ['data/x']), withCode('INVALID_ARGUMENT'));
    await remove(id, idsOf(groupSnapshot as never));
    assert.deepEqual(await behind.snapshots('data'), []);
    for (const gone of [id, NO_GROUP, 'g']) await remove(gone);
    await assert.rejects(remove(''), withCode('INVALID_ARGUMENT'));
  });

  it('tells when a member’s volume cannot be asked, and the group stays', async () => {
    const { groupSnapshot } = await create('g', ['data', 'log']);
    rig.agent.on('deleteSnapshotGroup', async () => {
      throw new AurochsError('UNAVAILABLE', 'volume log cannot be opened');
    });
    await assert.rejects(remove(groupSnapshot.groupSnapshotId as string), withCode('UNAVAILABLE'));
    await get(groupSnapshot.groupSnapshotId as string);
  });
});
