import assert from 'node:assert/strict';
import type { VolumeBody } from '../../../src/api/types.js';
import { AurochsError, ERROR_CODES, passesByItself } from '../../../src/core/errors.js';
import { withCode } from '../../support/csi-client.js';
import { BLOCK, CsiRig, GIB, MOUNTED } from '../../support/csi-rig.js';
import { ModelAgent } from '../../support/model-agent.js';

describe('csi: volumes', () => {
  let behind: ModelAgent;
  let rig: CsiRig;
  beforeEach(async () => {
    behind = new ModelAgent();
    rig = await CsiRig.start(behind);
  });
  afterEach(() => rig.stop());

  const create = (name: string, more: object = {}) =>
    rig.client.call('CreateVolume', { name, volumeCapabilities: [MOUNTED], ...more });
  const sized = (requiredBytes: bigint, limitBytes = 0n) => ({
    capacityRange: { requiredBytes: String(requiredBytes), limitBytes: String(limitBytes) },
  });

  describe('CreateVolume', () => {
    it('uses a name that our rules allow as it is, and keeps it in a label', async () => {
      const { volume } = await create('pvc-1');
      assert.equal(volume.volumeId, 'pvc-1');
      assert.equal((await behind.volume('pvc-1')).labels['csi.aurochs.io/name'], 'pvc-1');
    });

    it('makes a name of one that they do not allow', async () => {
      const { volume } = await create('Grüße & mehr');
      assert.match(volume.volumeId as string, /^csi-[0-9a-f]{40}$/);
      const { labels } = await behind.volume(volume.volumeId as string);
      assert.equal(labels['csi.aurochs.io/name'], 'Grüße & mehr');
      assert.equal((await create('Grüße & mehr')).volume.volumeId, volume.volumeId);
    });

    it('takes a name of 128 bytes and none that is longer', async () => {
      await create('n'.repeat(128));
      await assert.rejects(create('n'.repeat(129)), withCode('INVALID_ARGUMENT', /name/));
    });

    it('refuses a request without name, without capabilities, or with what volumes cannot do', async () => {
      await assert.rejects(create(''), withCode('INVALID_ARGUMENT', /name is missing/));
      const call = (volumeCapabilities: object[]) => create('v', { volumeCapabilities });
      await assert.rejects(call([]), withCode('INVALID_ARGUMENT'));
      for (const mode of ['UNKNOWN', 'MULTI_NODE_SINGLE_WRITER', 'MULTI_NODE_MULTI_WRITER']) {
        await assert.rejects(
          call([{ ...MOUNTED, accessMode: { mode } }]),
          withCode('INVALID_ARGUMENT', new RegExp(`${mode}.*SINGLE_NODE_WRITER`)),
        );
      }
      await assert.rejects(
        call([{ accessMode: MOUNTED.accessMode }]),
        withCode('INVALID_ARGUMENT'),
      );
      const zfs = { ...MOUNTED, mount: { fsType: 'zfs' } };
      await assert.rejects(call([zfs]), withCode('INVALID_ARGUMENT', /ext4, xfs/));
      const group = { ...MOUNTED, mount: { volumeMountGroup: '1000' } };
      await assert.rejects(call([group]), withCode('INVALID_ARGUMENT', /volume_mount_group/));
      assert.equal(rig.agent.count('createVolume'), 0);
    });

    it('gives 1 GiB when nobody says a size, and what fits when there is only a limit', async () => {
      assert.equal((await create('a')).volume.capacityBytes, String(GIB));
      const small = await create('b', sized(0n, 10_000_000n));
      assert.equal(small.volume.capacityBytes, String(10_000_000n - (10_000_000n % 4096n)));
    });

    it('rounds up to whole blocks, but not above the limit', async () => {
      const rounded = await create('a', sized(5_000_000n, 6_000_000n));
      assert.equal(rounded.volume.capacityBytes, String(1221n * 4096n));
      await assert.rejects(create('b', sized(5_000_001n, 5_000_002n)), withCode('OUT_OF_RANGE'));
      await assert.rejects(create('c', sized(2n * GIB, GIB)), withCode('OUT_OF_RANGE'));
      await assert.rejects(create('d', sized(1n << 60n)), withCode('OUT_OF_RANGE', /64TiB/));
      await assert.rejects(create('e', sized(0n, 4096n)), withCode('OUT_OF_RANGE'));
      await assert.rejects(create('f', sized(-1n)), withCode('INVALID_ARGUMENT'));
      assert.equal((await create('g', sized(1n))).volume.capacityBytes, String(1n << 20n));
    });

    it('answers the volume there is when the call is repeated', async () => {
      await create('v', sized(GIB));
      for (const range of [sized(GIB), sized(GIB / 2n), sized(0n, GIB), {}]) {
        assert.equal((await create('v', range)).volume.capacityBytes, String(GIB));
      }
      assert.equal(rig.agent.count('createVolume'), 1);
    });

    it('says ALREADY_EXISTS, and why, when what is there is something else', async () => {
      const source = await rig.volume('source');
      await create('v', { ...sized(GIB), parameters: { fsType: 'xfs' } });
      const other = (more: object, why: RegExp) =>
        assert.rejects(create('v', more), withCode('ALREADY_EXISTS', why));
      const xfs = { parameters: { fsType: 'xfs' } };
      await other({ ...xfs, ...sized(2n * GIB) }, /another size/);
      await other({ ...xfs, ...sized(0n, GIB / 2n) }, /another size/);
      await other({ parameters: {} }, /another fsType/);
      await other({ parameters: { fsType: 'xfs', encrypted: 'true' } }, /another encrypted/);
      const volumeContentSource = { volume: { volumeId: source } };
      await other({ ...xfs, volumeContentSource }, /another source/);
    });

    it('does not take a volume over that somebody made without CSI', async () => {
      await behind.createVolume({ name: 'db', size: '1GiB' });
      await assert.rejects(create('db'), withCode('ALREADY_EXISTS', /through CSI/));
    });

    it('does not mind when mutable parameters have changed since', async () => {
      await create('v', { parameters: { dataLocality: 'disabled' } });
      const mutableParameters = { dataLocality: 'best-effort' };
      await rig.client.call('ControllerModifyVolume', { volumeId: 'v', mutableParameters });
      await create('v', { parameters: { dataLocality: 'disabled' } });
    });

    it('uses what somebody else made meanwhile, if it is the same', async () => {
      rig.agent.on('createVolume', async (ask) => {
        await ask();
        throw new AurochsError('ALREADY_EXISTS', 'volume v exists');
      });
      assert.equal((await create('v')).volume.volumeId, 'v');
    });

    it('clones a volume, and restores a snapshot, to the source’s size or a larger one', async () => {
      await create('source', sized(2n * GIB));
      const snapshotId = await rig.snapshot('source', 'snap');
      const ofVolume = { volumeContentSource: { volume: { volumeId: 'source' } } };
      const ofSnapshot = { volumeContentSource: { snapshot: { snapshotId } } };
      const clone = await create('clone', ofVolume);
      assert.equal(clone.volume.capacityBytes, String(2n * GIB));
      assert.equal(clone.volume.contentSource.volume.volumeId, 'source');
      const restored = await create('restored', { ...ofSnapshot, ...sized(3n * GIB) });
      assert.equal(restored.volume.capacityBytes, String(3n * GIB));
      assert.equal(restored.volume.contentSource.snapshot.snapshotId, snapshotId);
      for (const source of [ofVolume, ofSnapshot]) {
        await assert.rejects(create('x', { ...source, ...sized(GIB) }), withCode('OUT_OF_RANGE'));
        await assert.rejects(
          create('x', { ...source, ...sized(0n, GIB) }),
          withCode('OUT_OF_RANGE'),
        );
      }
      await create('clone', ofVolume);
      assert.equal(rig.agent.count('createVolume'), 3);
    });

    it('says NOT_FOUND for a source that is not there', async () => {
      await create('source');
      const gone = `source/${'0'.repeat(8)}-0000-0000-0000-${'0'.repeat(12)}`;
      for (const volumeContentSource of [
        { volume: { volumeId: 'none' } },
        { volume: { volumeId: 'No Volume' } },
        { snapshot: { snapshotId: gone } },
        { snapshot: { snapshotId: 'nonsense' } },
      ]) {
        await assert.rejects(create('x', { volumeContentSource }), withCode('NOT_FOUND'));
      }
    });

    it('says ABORTED and how far it is while a copy runs, and the volume when it is done', async () => {
      await create('source');
      behind.copiesWait = true;
      const request = { volumeContentSource: { volume: { volumeId: 'source' } } };
      await assert.rejects(create('clone', request), withCode('ABORTED', /45 % copied/));
      await assert.rejects(create('clone', request), withCode('ABORTED', /45 % copied/));
      changeVolume('clone', { state: 'detached', copyShare: null });
      assert.equal((await create('clone', request)).volume.volumeId, 'clone');
      assert.equal(rig.agent.count('createVolume'), 2);
    });

    it('takes a copy that failed away and tells why, so that the next call begins anew', async () => {
      await create('source');
      behind.copiesWait = true;
      const request = { volumeContentSource: { volume: { volumeId: 'source' } } };
      await assert.rejects(create('clone', request), withCode('ABORTED'));
      const problem = { code: 'NO_SPACE', message: 'the disk is full' } as const;
      changeVolume('clone', { problem });
      await assert.rejects(create('clone', request), withCode('RESOURCE_EXHAUSTED', /full/));
      assert.equal(behind.stored.has('clone'), false);
      behind.copiesWait = false;
      await create('clone', request);
    });

    it('takes it away also when something else is asked for by that name now', async () => {
      await create('source');
      behind.copiesWait = true;
      const request = { volumeContentSource: { volume: { volumeId: 'source' } } };
      await assert.rejects(create('clone', request), withCode('ABORTED'));
      changeVolume('clone', { problem: { code: 'IO', message: 'a disk failed' } });
      await assert.rejects(
        create('clone', { parameters: { fsType: 'xfs' } }),
        withCode('INTERNAL'),
      );
      await create('clone', { parameters: { fsType: 'xfs' } });
    });

    it('leaves a copy alone whose problem passes by itself', async () => {
      await create('source');
      behind.copiesWait = true;
      const request = { volumeContentSource: { volume: { volumeId: 'source' } } };
      await assert.rejects(create('clone', request), withCode('ABORTED'));
      for (const code of ERROR_CODES.filter(passesByItself)) {
        changeVolume('clone', { problem: { code, message: 'not open yet' } });
        const again = create('clone', request);
        await assert.rejects(again, withCode('ABORTED', /45 % copied; before: not open yet/));
        assert.equal(behind.stored.has('clone'), true, code);
      }
    });

    it('makes the volume where the topology wants it', async () => {
      const node = { segments: { 'topology.csi.aurochs.io/node': behind.node.id } };
      const zone = { segments: { 'topology.csi.aurochs.io/zone': 'zone-a' } };
      const elsewhere = { segments: { 'topology.csi.aurochs.io/zone': 'zone-b' } };
      const unknown = { segments: { 'kubernetes.io/hostname': 'node-1' } };
      const answer = await create('v', {
        accessibilityRequirements: { requisite: [elsewhere, zone], preferred: [node] },
      });
      assert.deepEqual(answer.volume.accessibleTopology, [
        { segments: { ...node.segments, ...zone.segments } },
      ]);
      for (const requisite of [[elsewhere], [unknown]]) {
        const call = create('w', { accessibilityRequirements: { requisite } });
        await assert.rejects(call, withCode('RESOURCE_EXHAUSTED', /topology/));
        const again = create('v', { accessibilityRequirements: { requisite } });
        await assert.rejects(again, withCode('ALREADY_EXISTS', /another node/));
      }
    });

    it('tries the preferred nodes first, and then all that are allowed', async () => {
      behind.nodeList.push({ ...behind.node, id: 'other', name: 'node-2', zone: 'zone-b' });
      const zone = (name: string) => ({ segments: { 'topology.csi.aurochs.io/zone': name } });
      await create('v', {
        accessibilityRequirements: {
          requisite: [zone('zone-a'), zone('zone-b')],
          preferred: [zone('zone-b'), zone('zone-a')],
        },
      });
      const tried = rig.agent.asked
        .filter(([method]) => method === 'createVolume')
        .map(([, body]) => (body as { nodes?: string[] }).nodes);
      assert.deepEqual(tried, [['other'], [behind.node.id]]);
    });

    it('hands tags on, and refuses what this version cannot hold', async () => {
      await create('v', { parameters: { diskSelector: 'ssd', nodeSelector: ' storage , ' } }).then(
        () => assert.fail('an empty tag was taken'),
        withCode('INVALID_ARGUMENT', /nodeSelector/),
      );
      await create('v', { parameters: { diskSelector: 'ssd', nodeSelector: 'storage' } });
      const none = create('w', { parameters: { diskSelector: 'ssd,nvme' } });
      await assert.rejects(none, withCode('FAILED_PRECONDITION', /nvme/));
      const three = create('w', { parameters: { numberOfReplicas: '3' } });
      await assert.rejects(three, withCode('RESOURCE_EXHAUSTED', /3 replicas.*1 node/));
    });
  });

  describe('DeleteVolume', () => {
    const remove = (volumeId: string) => rig.client.call('DeleteVolume', { volumeId });

    it('deletes, and is content when there is nothing to delete', async () => {
      await create('v');
      await remove('v');
      assert.equal(behind.stored.size, 0);
      await remove('v');
      await remove('no such volume / at all');
      await assert.rejects(remove(''), withCode('INVALID_ARGUMENT'));
    });

    it('refuses a volume that has snapshots or is published', async () => {
      await create('v');
      const snapshotId = await rig.snapshot('v', 's');
      await assert.rejects(remove('v'), withCode('FAILED_PRECONDITION', /1 snapshot/));
      await rig.client.call('DeleteSnapshot', { snapshotId });
      await behind.publishVolume('v', { node: behind.node.id });
      await assert.rejects(remove('v'), withCode('FAILED_PRECONDITION', /published/));
    });

    it('deletes a copy that is under way', async () => {
      await create('source');
      behind.copiesWait = true;
      const volumeContentSource = { volume: { volumeId: 'source' } };
      await assert.rejects(create('clone', { volumeContentSource }), withCode('ABORTED'));
      await remove('clone');
      assert.deepEqual([...behind.stored.keys()], ['source']);
    });
  });

  describe('ValidateVolumeCapabilities', () => {
    const validate = (more: object) =>
      rig.client.call('ValidateVolumeCapabilities', {
        volumeId: 'v',
        volumeCapabilities: [MOUNTED],
        ...more,
      });

    it('confirms what the volume can do', async () => {
      await create('v', { parameters: { fsType: 'xfs' } });
      assert.equal((await validate({})).confirmed.volumeCapabilities.length, 1);
      const { confirmed } = await validate({ parameters: { fsType: 'xfs' } });
      assert.equal(confirmed.volumeCapabilities.length, 1);
      assert.deepEqual(confirmed.parameters, { fsType: 'xfs' });
    });

    it('does not confirm what it cannot, and says why', async () => {
      await create('v');
      const modes = [{ ...BLOCK, accessMode: { mode: 'MULTI_NODE_MULTI_WRITER' } }];
      for (const more of [
        { volumeCapabilities: modes },
        { parameters: { colour: 'blue' } },
        { parameters: { fsType: 'xfs' } },
      ]) {
        const { confirmed, message } = await validate(more);
        assert.equal(confirmed, null);
        assert.match(message as string, /MULTI_NODE_MULTI_WRITER|colour|another fsType/);
      }
    });

    it('needs a volume and capabilities', async () => {
      await assert.rejects(validate({ volumeId: 'none' }), withCode('NOT_FOUND'));
      await assert.rejects(validate({ volumeId: '' }), withCode('INVALID_ARGUMENT'));
      await assert.rejects(validate({ volumeCapabilities: [] }), withCode('INVALID_ARGUMENT'));
    });
  });

  describe('ListVolumes and ControllerGetVolume', () => {
    const list = (maxEntries = 0, startingToken = '') =>
      rig.client.call('ListVolumes', { maxEntries, startingToken });
    const names = (answer: { entries: { volume: { volumeId: string } }[] }): string[] =>
      answer.entries.map(({ volume }) => volume.volumeId);

    it('tells every volume once, also when volumes come and go between pages', async () => {
      for (const name of ['e', 'c', 'a', 'd', 'b']) await create(name);
      const first = await list(2);
      assert.deepEqual(names(first), ['a', 'b']);
      await rig.client.call('DeleteVolume', { volumeId: 'b' });
      await create('aa');
      const second = await list(2, first.nextToken as string);
      assert.deepEqual(names(second), ['c', 'd']);
      const third = await list(2, second.nextToken as string);
      assert.deepEqual([names(third), third.nextToken], [['e'], '']);
    });

    it('says ABORTED to a token that is none, and INVALID_ARGUMENT to a negative size', async () => {
      for (const token of ['invalid-token', 'after:', 'after:No Name', '7']) {
        await assert.rejects(list(0, token), withCode('ABORTED'));
      }
      await assert.rejects(list(-1), withCode('INVALID_ARGUMENT'));
    });

    it('tells where a volume is published and what is wrong with it', async () => {
      await create('v');
      await behind.publishVolume('v', { node: behind.node.id });
      changeVolume('v', {
        robustness: 'faulted',
        problem: { code: 'IO', message: 'the disk failed' },
      });
      const { entries } = await list();
      const got = await rig.client.call('ControllerGetVolume', { volumeId: 'v' });
      for (const { status, volume } of [entries[0], got]) {
        assert.equal(volume.volumeId, 'v');
        assert.deepEqual(status.publishedNodeIds, [behind.node.id]);
        assert.deepEqual(status.volumeCondition, { abnormal: true, message: 'the disk failed' });
      }
      const missing = rig.client.call('ControllerGetVolume', { volumeId: 'none' });
      await assert.rejects(missing, withCode('NOT_FOUND'));
    });

    it('does not tell of volumes that are only coming into being', async () => {
      await create('source');
      behind.copiesWait = true;
      const volumeContentSource = { volume: { volumeId: 'source' } };
      await assert.rejects(create('clone', { volumeContentSource }), withCode('ABORTED'));
      assert.deepEqual(names(await list()), ['source']);
    });
  });

  describe('GetCapacity', () => {
    const capacity = async (more: object) => {
      const answer = await rig.client.call('GetCapacity', more);
      return [
        BigInt(answer.availableCapacity as string) / GIB,
        BigInt(answer.maximumVolumeSize.value as string) / GIB,
      ];
    };

    it('counts the disks that fit the parameters and the place', async () => {
      const segments = { 'topology.csi.aurochs.io/node': behind.node.id };
      assert.deepEqual(await capacity({}), [100n, 100n]);
      assert.deepEqual(await capacity({ accessibleTopology: { segments } }), [100n, 100n]);
      assert.deepEqual(await capacity({ parameters: { diskSelector: 'ssd' } }), [100n, 100n]);
      const none = { segments: { 'topology.csi.aurochs.io/zone': 'elsewhere' } };
      assert.deepEqual(await capacity({ accessibleTopology: none }), [0n, 0n]);
      assert.deepEqual(await capacity({ parameters: { diskSelector: 'hdd' } }), [0n, 0n]);
      assert.deepEqual(await capacity({ parameters: { nodeSelector: 'gpu' } }), [0n, 0n]);
      assert.deepEqual(await capacity({ parameters: { numberOfReplicas: '2' } }), [0n, 0n]);
      behind.disk.problem = { code: 'IO', message: 'failed' };
      assert.deepEqual(await capacity({}), [0n, 0n]);
      await assert.rejects(capacity({ parameters: { x: 'y' } }), withCode('INVALID_ARGUMENT'));
    });
  });

  describe('ControllerExpandVolume', () => {
    const expand = (requiredBytes: bigint, limitBytes = 0n, more: object = {}) =>
      rig.client.call('ControllerExpandVolume', {
        volumeId: 'v',
        ...sized(requiredBytes, limitBytes),
        ...more,
      });

    it('makes it larger, never smaller, and says whether a file system has to follow', async () => {
      await create('v');
      const grown = await expand(2n * GIB, 0n, { volumeCapability: MOUNTED });
      assert.deepEqual(grown, { capacityBytes: String(2n * GIB), nodeExpansionRequired: true });
      const again = await expand(GIB, 0n, { volumeCapability: BLOCK });
      assert.deepEqual(again, { capacityBytes: String(2n * GIB), nodeExpansionRequired: false });
      assert.equal(rig.agent.count('expandVolume'), 1);
      await assert.rejects(expand(GIB, GIB), withCode('OUT_OF_RANGE'));
      await assert.rejects(expand(0n), withCode('INVALID_ARGUMENT'));
      await assert.rejects(expand(GIB, 0n, { volumeId: 'none' }), withCode('NOT_FOUND'));
      await assert.rejects(expand(GIB, 0n, { volumeId: '' }), withCode('INVALID_ARGUMENT'));
    });
  });

  describe('ControllerModifyVolume', () => {
    const modify = (mutableParameters: Record<string, string>, volumeId = 'v') =>
      rig.client.call('ControllerModifyVolume', { volumeId, mutableParameters });

    it('changes what it names and leaves all else', async () => {
      await create('v', { mutableParameters: { 'label/team': 'red' } });
      await behind.setVolumeLabels('v', { labels: { mine: 'stays' } });
      const before = (await behind.volume('v')).labels;
      await modify({ dataLocality: 'best-effort', 'label/team': 'blue' });
      assert.deepEqual((await behind.volume('v')).labels, {
        ...before,
        'csi.aurochs.io/data-locality': 'best-effort',
        team: 'blue',
      });
      await modify({});
    });

    it('refuses what cannot be changed, without changing anything', async () => {
      await create('v');
      const before = (await behind.volume('v')).labels;
      for (const key of ['fsType', 'numberOfReplicas', 'x', 'label/csi.aurochs.io/name']) {
        const both = modify({ dataLocality: 'best-effort', [key]: 'y' });
        await assert.rejects(both, withCode('INVALID_ARGUMENT', new RegExp(key)));
      }
      await assert.rejects(modify({ dataLocality: 'y' }), withCode('INVALID_ARGUMENT'));
      assert.deepEqual((await behind.volume('v')).labels, before);
      await assert.rejects(modify({}, 'none'), withCode('NOT_FOUND'));
    });
  });

  function changeVolume(name: string, change: Partial<VolumeBody>): void {
    const stored = behind.stored.get(name);
    assert(stored !== undefined);
    Object.assign(stored.body, change);
  }
});
