import assert from 'node:assert/strict';
import { AurochsError } from '../../../src/core/errors.js';
import { withCode } from '../../support/csi-client.js';
import { CsiRig, GIB } from '../../support/csi-rig.js';
import { ModelAgent } from '../../support/model-agent.js';

const NO_SNAPSHOT = 'v/00000000-0000-4000-8000-000000000000';

describe('csi: snapshots', () => {
  let behind: ModelAgent;
  let rig: CsiRig;
  beforeEach(async () => {
    behind = new ModelAgent();
    rig = await CsiRig.start(behind);
  });
  afterEach(() => rig.stop());

  const create = (sourceVolumeId: string, name: string, more: object = {}) =>
    rig.client.call('CreateSnapshot', { sourceVolumeId, name, ...more });

  describe('CreateSnapshot', () => {
    it('names it by its volume and its own id, and answers the same when repeated', async () => {
      await rig.volume('v');
      const { snapshot } = await create('v', 'before');
      const [taken] = await behind.snapshots('v');
      assert.equal(snapshot.snapshotId, `v/${taken?.id}`);
      assert.equal(snapshot.sourceVolumeId, 'v');
      assert.equal(snapshot.sizeBytes, String(GIB));
      assert.equal(snapshot.readyToUse, true);
      assert.equal(snapshot.groupSnapshotId, '');
      assert.equal(Number(snapshot.creationTime.seconds) > 1_700_000_000, true);
      assert.deepEqual((await create('v', 'before')).snapshot, snapshot);
    });

    it('makes a name of one that our rules do not allow', async () => {
      await rig.volume('v');
      const { snapshot } = await create('v', 'Vor dem Umzug');
      const [taken] = await behind.snapshots('v');
      assert.match(taken?.name ?? '', /^csi-[0-9a-f]{40}$/);
      assert.deepEqual((await create('v', 'Vor dem Umzug')).snapshot, snapshot);
    });

    it('says ALREADY_EXISTS when another volume has a snapshot of that name', async () => {
      for (let i = 0; i < 20; i += 1) await rig.volume(`v${i}`);
      await create('v17', 'taken');
      await assert.rejects(create('v3', 'taken'), withCode('ALREADY_EXISTS', /v17/));
      assert.deepEqual(await behind.snapshots('v3'), []);
    });

    it('asks no volume but its own, and those that had one of that name', async () => {
      for (const name of ['v', 'w', 'other']) await rig.volume(name);
      await create('w', 'removing');
      for (const snapshot of behind.stored.get('w')?.snapshots ?? []) snapshot.removing = true;
      failToAsk('other');
      await create('v', 's');
      await create('v', 'removing');
      const ofOther = rig.agent.asked.filter(
        ([method, volume]) => method !== 'volume' && volume === 'other',
      );
      assert.deepEqual(ofOther, []);
    });

    it('passes over a volume that cannot be asked', async () => {
      for (const name of ['v', 'w']) await rig.volume(name);
      await create('w', 's');
      rig.agent.on('snapshot', async () => {
        throw new AurochsError('UNAVAILABLE', 'the disk is away');
      });
      await create('v', 's');
      assert.equal((await behind.snapshots('v')).length, 1);
    });

    it('refuses missing fields, unknown volumes and parameters that it does not know', async () => {
      await rig.volume('v');
      await assert.rejects(create('', 's'), withCode('INVALID_ARGUMENT', /source_volume_id/));
      await assert.rejects(create('v', ''), withCode('INVALID_ARGUMENT', /name/));
      await assert.rejects(create('none', 's'), withCode('NOT_FOUND'));
      const parameters = { type: 'bak' };
      await assert.rejects(create('v', 's', { parameters }), withCode('INVALID_ARGUMENT', /type/));
      await create('v', 's', {
        parameters: { type: 'snap', 'csi.storage.k8s.io/volumesnapshot/name': 'x' },
      });
    });

    it('says ABORTED while the snapshot of that name is being deleted', async () => {
      await rig.volume('v');
      await create('v', 's');
      for (const snapshot of behind.stored.get('v')?.snapshots ?? []) snapshot.removing = true;
      await assert.rejects(create('v', 's'), withCode('ABORTED'));
    });
  });

  describe('DeleteSnapshot', () => {
    const remove = (snapshotId: string) => rig.client.call('DeleteSnapshot', { snapshotId });

    it('deletes, and is content when there is nothing to delete', async () => {
      await rig.volume('v');
      const id = await rig.snapshot('v', 's');
      await remove(id);
      assert.deepEqual(await behind.snapshots('v'), []);
      for (const gone of [id, NO_SNAPSHOT, 'nonsense', 'a/b/c']) await remove(gone);
      await assert.rejects(remove(''), withCode('INVALID_ARGUMENT'));
    });

    it('leaves a member of a group to the group', async () => {
      await rig.volume('v');
      const { groupSnapshot } = await rig.client.call('CreateVolumeGroupSnapshot', {
        name: 'g',
        sourceVolumeIds: ['v'],
      });
      const [member] = groupSnapshot.snapshots;
      const call = remove(member.snapshotId as string);
      await assert.rejects(call, withCode('INVALID_ARGUMENT', /group/));
    });
  });

  describe('ListSnapshots', () => {
    const list = (more: object = {}) => rig.client.call('ListSnapshots', more);
    const ids = (answer: { entries: { snapshot: { snapshotId: string } }[] }): string[] =>
      answer.entries.map(({ snapshot }) => snapshot.snapshotId);

    it('lists by snapshot and by volume, and finds nothing where nothing is', async () => {
      await rig.volume('v');
      await rig.volume('w');
      const [a, b, c] = [
        await rig.snapshot('v', 'a'),
        await rig.snapshot('v', 'b'),
        await rig.snapshot('w', 'c'),
      ];
      assert.deepEqual(ids(await list({ snapshotId: b })), [b]);
      assert.deepEqual(ids(await list({ sourceVolumeId: 'v' })), [a, b].sort());
      assert.deepEqual(ids(await list({ sourceVolumeId: 'w', snapshotId: c })), [c]);
      for (const none of [
        { sourceVolumeId: 'w', snapshotId: a },
        { snapshotId: NO_SNAPSHOT },
        { snapshotId: 'nonsense' },
        { sourceVolumeId: 'none' },
        { sourceVolumeId: 'No Volume' },
      ]) {
        assert.deepEqual(ids(await list(none)), []);
      }
    });

    it('tells all in pages, each once, also when snapshots and volumes go meanwhile', async () => {
      const all: string[] = [];
      for (const volume of ['a', 'b', 'c', 'd']) {
        await rig.volume(volume);
        for (const name of ['x', 'y', 'z'])
          all.push(await rig.snapshot(volume, `${volume}-${name}`));
      }
      all.sort();
      assert.deepEqual(ids(await list()), all);
      const pages: string[][] = [];
      let startingToken = '';
      do {
        const answer = await list({ maxEntries: 2, startingToken });
        pages.push(ids(answer));
        startingToken = answer.nextToken as string;
        if (pages.length === 1) {
          await rig.client.call('DeleteSnapshot', { snapshotId: all[1] ?? '' });
        }
        if (pages.length === 2) behind.stored.delete('b');
      } while (startingToken !== '');
      const expected = all.filter((id) => !id.startsWith('b') || pages[1]?.includes(id));
      assert.deepEqual(pages.flat(), expected);
    });

    it('asks no more volumes than a page needs', async () => {
      for (let i = 0; i < 40; i += 1) await rig.volume(`v${i}`);
      await rig.snapshot('v0', 'a');
      await rig.snapshot('v1', 'b');
      const before = rig.agent.count('snapshots');
      await list({ maxEntries: 1 });
      assert.equal(rig.agent.count('snapshots') - before, 8);
    });

    it('says UNAVAILABLE when a volume cannot be asked, not a shorter list', async () => {
      await rig.volume('v');
      await rig.volume('w');
      await rig.snapshot('v', 's');
      failToAsk('w');
      await assert.rejects(list(), withCode('UNAVAILABLE', /w/));
      await assert.rejects(list({ sourceVolumeId: 'w' }), withCode('UNAVAILABLE'));
      assert.equal(ids(await list({ sourceVolumeId: 'v' })).length, 1);
    });

    it('says UNAVAILABLE too when it is the replica that is not found', async () => {
      await rig.volume('v');
      rig.agent.on('snapshots', async () => {
        throw new AurochsError('NOT_FOUND', 'the replica directory is gone');
      });
      await assert.rejects(list(), withCode('UNAVAILABLE'));
      await assert.rejects(list({ sourceVolumeId: 'v' }), withCode('UNAVAILABLE'));
    });

    it('passes over a volume that is deleted while it is asked', async () => {
      await rig.volume('v');
      await rig.volume('w');
      const id = await rig.snapshot('v', 's');
      rig.agent.on('snapshots', async (ask, volume) => {
        if (volume === 'w') behind.stored.delete('w');
        return ask();
      });
      assert.deepEqual(ids(await list()), [id]);
    });

    it('says ABORTED to a token that is none', async () => {
      for (const startingToken of ['x', 'after:v', 'after:v/1']) {
        await assert.rejects(list({ startingToken }), withCode('ABORTED'));
      }
      await assert.rejects(list({ maxEntries: -1 }), withCode('INVALID_ARGUMENT'));
    });
  });

  function failToAsk(name: string): void {
    rig.agent.on('snapshots', async (ask, volume) => {
      if (volume === name) throw new AurochsError('CORRUPTION', 'replica.json is damaged');
      return ask();
    });
  }
});
