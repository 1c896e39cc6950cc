import { strict as assert } from 'node:assert';
import { LABELS_MAX, TAGS_MAX } from '../../../src/core/limits.js';
import {
  changedLabels,
  checkLabels,
  checkNodeName,
  checkZone,
  usableTags,
} from '../../../src/volume/labels.js';
import { ControlPlane } from '../../support/control-plane.js';
import { rejectsWith } from '../../support/rejects.js';

const GIB = 1n << 30n;

describe('labels', () => {
  it('have keys of a few characters and values of visible ones', () => {
    checkLabels({ 'csi.aurochs.io/name': 'pvc 1, ü', 'a': '', '0_b-c.d/e': 'x'.repeat(256) }); // prettier-ignore
    for (const key of ['', 'A', '.a', '__proto__', 'a b', 'x'.repeat(64)]) {
      assert.throws(() => checkLabels({ [key]: 'x' }), /label key/);
    }
    for (const value of ['x'.repeat(257), 'a\nb', 'a\u200bb']) {
      assert.throws(() => checkLabels({ a: value }), /label a: the value/);
    }
  });

  it('are bounded in number', () => {
    const many = Object.fromEntries(Array.from({ length: LABELS_MAX }, (_, i) => [`k${i}`, '']));
    checkLabels(many);
    assert.throws(() => changedLabels(many, { more: '' }), /at most 64/);
    changedLabels(many, { more: '', k0: null });
  });

  it('are changed one by one, and stay otherwise', async () => {
    const plane = await ControlPlane.started();
    const labels = { a: '1', b: '2' };
    await plane.volumes.create({ name: 'db', sizeBytes: GIB, labels });
    const changed = await plane.volumes.setLabels('db', { a: null, c: '3', gone: null });
    assert.deepEqual(changed.labels, { b: '2', c: '3' });
    await rejectsWith('INVALID_ARGUMENT', plane.volumes.setLabels('db', { A: null }));
    await rejectsWith('NOT_FOUND', plane.volumes.setLabels('none', {}));
    await plane.stop();
  });
});

describe('tags', () => {
  it('are words, each once, in order', () => {
    assert.deepEqual(usableTags('tag', ['ssd', 'Fast.1', 'ssd']), ['Fast.1', 'ssd']);
    for (const tag of ['', '-a', 'a b', 'x'.repeat(64)]) {
      assert.throws(() => usableTags('tag', [tag]), /not usable/);
    }
    const many = Array.from({ length: TAGS_MAX + 1 }, (_, index) => `t${index}`);
    assert.throws(() => usableTags('tag', many), /33 tags/);
  });

  it('and zones and names of nodes are what Kubernetes may call them', () => {
    checkZone('eu-west-1a');
    assert.throws(() => checkZone('eu west'), /zone/);
    checkNodeName('worker-1.example.com');
    assert.throws(() => checkNodeName('3f2504e0-4f89-41d3-9a0c-0305e82c3301'), /not usable/);
  });
});

describe('the place of a volume', () => {
  let plane: ControlPlane;
  beforeEach(async () => {
    plane = await ControlPlane.started(); // With node alpha, tagged fast-cpu.
    await plane.diskService.add('/ssd', ['ssd', 'fast']);
  });
  afterEach(() => plane.stop());

  const pathOf = async (wish: object): Promise<string> => {
    const request = { name: 'db', sizeBytes: GIB, ...wish };
    const { replicas } = await plane.volumes.create(request);
    return (await plane.diskService.get(replicas[0]?.diskId ?? '')).path;
  };

  it('is a disk that has all tags that were asked for', async () => {
    assert.equal(await pathOf({ diskTags: ['fast', 'ssd'] }), '/ssd');
  });

  it('is on a node that was asked for', async () => {
    const wish = { nodes: ['beta', 'alpha'], nodeTags: ['fast-cpu'], diskTags: ['ssd'] };
    assert.equal(await pathOf(wish), '/ssd');
  });

  it('is refused with what no disk and no node has', async () => {
    const missing = pathOf({ diskTags: ['ssd', 'nvme'] });
    await rejectsWith('FAILED_PRECONDITION', missing, /no disk .* has the tag nvme/);
    const named = pathOf({ disk: '/disk0', diskTags: ['ssd'] });
    await rejectsWith('FAILED_PRECONDITION', named, /tag ssd/);
    const slow = pathOf({ nodeTags: ['slow-cpu'] });
    await rejectsWith('FAILED_PRECONDITION', slow, /no node .* slow-cpu/);
    await rejectsWith('NOT_FOUND', pathOf({ nodes: ['beta'] }), /node "beta"/);
    const other = { id: 'node-2', name: 'beta', zone: null, tags: [], createdUnixMs: 1 };
    await plane.store.create('node', 'beta', other);
    await rejectsWith('FAILED_PRECONDITION', pathOf({ nodes: ['beta'] }), /no disk/);
    assert.deepEqual(await plane.volumes.list(), []);
  });

  it('is too small when only another disk could hold it', async () => {
    const disk = (await plane.store.list('disk')).items.find(({ value }) => value.path === '/ssd');
    assert.ok(disk);
    const small = { ...disk.value, fileBytesMax: 1n << 20n };
    await plane.store.update('disk', disk.key, small, disk.revision);
    await rejectsWith('NO_SPACE', pathOf({ diskTags: ['ssd'] }), /1GiB/);
    assert.equal(await pathOf({}), '/disk0');
  });

  it('follows the tags that a disk is given later', async () => {
    const first = (await plane.diskService.list()).find(({ path }) => path === '/disk0');
    const tagged = await plane.diskService.setTags(first?.id ?? '', ['cold']);
    assert.deepEqual(tagged.tags, ['cold']);
    await plane.diskReconciler.reconcileAll();
    assert.equal(await pathOf({ diskTags: ['cold'] }), '/disk0');
    await rejectsWith('NOT_FOUND', plane.diskService.setTags('none', []));
  });
});
