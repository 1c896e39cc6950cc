import assert from 'node:assert/strict';
import { withCode } from '../../support/csi-client.js';
import { BLOCK, CsiRig, MOUNTED } from '../../support/csi-rig.js';
import { ModelAgent } from '../../support/model-agent.js';

describe('csi: publication', () => {
  let behind: ModelAgent;
  let rig: CsiRig;
  beforeEach(async () => {
    behind = new ModelAgent();
    behind.nodeList.push({ ...behind.node, id: 'other-id', name: 'node-2' });
    rig = await CsiRig.start(behind, { nodeId: 'node-1' });
    await rig.volume('v');
  });
  afterEach(() => rig.stop());

  const publish = (more: object = {}) =>
    rig.client.call('ControllerPublishVolume', {
      volumeId: 'v',
      nodeId: behind.node.id,
      volumeCapability: MOUNTED,
      ...more,
    });
  const unpublish = (more: object = {}) =>
    rig.client.call('ControllerUnpublishVolume', {
      volumeId: 'v',
      nodeId: behind.node.id,
      ...more,
    });
  const shared = { ...MOUNTED, accessMode: { mode: 'MULTI_NODE_READER_ONLY' } };

  it('publishes, and is content when it is published so already', async () => {
    assert.deepEqual(await publish(), { publishContext: {} });
    await publish();
    const { publications } = await behind.volume('v');
    assert.deepEqual(publications, [{ nodeId: behind.node.id, readOnly: false, shared: false }]);
  });

  it('says ALREADY_EXISTS when it is published there otherwise', async () => {
    await publish();
    await assert.rejects(publish({ readonly: true }), withCode('ALREADY_EXISTS'));
    await assert.rejects(publish({ volumeCapability: shared }), withCode('ALREADY_EXISTS'));
  });

  it('says FAILED_PRECONDITION and where when another node has it', async () => {
    await publish();
    const call = publish({ nodeId: 'other-id' });
    await assert.rejects(call, withCode('FAILED_PRECONDITION', new RegExp(behind.node.id)));
  });

  it('lets several nodes read it at once', async () => {
    await publish({ volumeCapability: shared });
    await publish({ volumeCapability: shared, nodeId: 'other-id' });
    const { publications } = await behind.volume('v');
    assert.deepEqual(
      publications.map(({ readOnly, shared }) => [readOnly, shared]),
      [
        [true, true],
        [true, true],
      ],
    );
    await unpublish({ nodeId: '' });
    assert.deepEqual((await behind.volume('v')).publications, []);
  });

  it('reads a volume only that is published so or for readers', async () => {
    const reader = { ...BLOCK, accessMode: { mode: 'SINGLE_NODE_READER_ONLY' } };
    await publish({ volumeCapability: reader });
    assert.equal((await behind.volume('v')).publications[0]?.readOnly, true);
  });

  it('uses the frontend of the storage class', async () => {
    await rig.volume('w', { parameters: { frontend: 'nbd' } });
    await publish({ volumeId: 'w' });
    const [, , body] = rig.agent.asked.find(([method]) => method === 'publishVolume') ?? [];
    assert.equal((body as { frontend: string }).frontend, 'nbd');
  });

  it('refuses missing fields, and names what is not there', async () => {
    await assert.rejects(publish({ volumeId: '' }), withCode('INVALID_ARGUMENT', /volume_id/));
    await assert.rejects(publish({ nodeId: '' }), withCode('INVALID_ARGUMENT', /node_id/));
    await assert.rejects(publish({ volumeCapability: null }), withCode('INVALID_ARGUMENT'));
    await assert.rejects(publish({ volumeId: 'none' }), withCode('NOT_FOUND'));
    await assert.rejects(publish({ nodeId: 'none' }), withCode('NOT_FOUND', /none/));
    await assert.rejects(unpublish({ volumeId: '' }), withCode('INVALID_ARGUMENT'));
  });

  it('unpublishes, and is content when nothing is published or there', async () => {
    await publish();
    await unpublish();
    assert.deepEqual((await behind.volume('v')).publications, []);
    for (const more of [{}, { volumeId: 'none' }, { volumeId: 'No Volume' }, { nodeId: 'none' }]) {
      await unpublish(more);
    }
  });

  it('says ABORTED while the device is used', async () => {
    await publish();
    await behind.stageVolume('v', { path: '/staging', kind: 'block' });
    await assert.rejects(unpublish(), withCode('ABORTED', /in use/));
  });
});
