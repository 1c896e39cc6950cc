import assert from 'node:assert/strict';
import { AurochsError } from '../../../src/core/errors.js';
import { withCode } from '../../support/csi-client.js';
import { BLOCK, CsiRig, GIB, MOUNTED } from '../../support/csi-rig.js';
import { ModelAgent } from '../../support/model-agent.js';

describe('csi: node', () => {
  let behind: ModelAgent;
  let rig: CsiRig;
  beforeEach(async () => {
    behind = new ModelAgent();
    rig = await CsiRig.start(behind);
    await rig.volume('v');
    await behind.publishVolume('v', { node: behind.node.id });
  });
  afterEach(() => rig.stop());

  const at = { stagingTargetPath: '/staging' };
  const stage = (more: object = {}) =>
    rig.client.call('NodeStageVolume', {
      volumeId: 'v',
      ...at,
      volumeCapability: MOUNTED,
      ...more,
    });
  const publish = (more: object = {}) =>
    rig.client.call('NodePublishVolume', {
      volumeId: 'v',
      ...at,
      targetPath: '/target',
      volumeCapability: MOUNTED,
      ...more,
    });
  const staged = (name = 'v') => behind.stored.get(name)?.staged.get('/staging');

  describe('NodeStageVolume', () => {
    it('asks for what the storage class and the capability say', async () => {
      const parameters = { fsType: 'xfs', mkfsParams: '-K  -i size=512' };
      await rig.volume('w', { parameters });
      await behind.publishVolume('w', { node: behind.node.id });
      const mount = { fsType: '', mountFlags: ['noatime'] };
      await stage({ volumeId: 'w', volumeCapability: { ...MOUNTED, mount } });
      assert.deepEqual(staged('w'), {
        path: '/staging',
        kind: 'fileSystem',
        readOnly: false,
        fileSystem: 'xfs',
        formatOptions: ['-K', '-i', 'size=512'],
        mountOptions: ['noatime'],
      });
    });

    it('lets the capability’s file system go before the class’s, and ext4 come last', async () => {
      await stage({ volumeCapability: { ...MOUNTED, mount: { fsType: 'xfs' } } });
      assert.equal(staged()?.fileSystem, 'xfs');
      await behind.unstageVolume('v', { path: '/staging' });
      await stage();
      assert.equal(staged()?.fileSystem, 'ext4');
    });

    it('stages a block device without any file system', async () => {
      await stage({ volumeCapability: BLOCK });
      assert.deepEqual(staged(), { path: '/staging', kind: 'block', readOnly: false });
    });

    it('reads only what is published for reading', async () => {
      await behind.unpublishVolume('v', {});
      await behind.publishVolume('v', { node: behind.node.id, readOnly: true });
      await stage();
      assert.equal(staged()?.readOnly, true);
    });

    it('takes the volume context of a volume that was not made through CSI', async () => {
      await behind.createVolume({ name: 'hand', size: '1GiB' });
      await behind.publishVolume('hand', { node: behind.node.id });
      await stage({
        volumeId: 'hand',
        volumeContext: { fsType: 'xfs', 'storage.kubernetes.io/csiProvisionerIdentity': 'x' },
      });
      assert.equal(staged('hand')?.fileSystem, 'xfs');
      const odd = stage({ volumeId: 'hand', volumeContext: { encrypted: 'perhaps' } });
      await assert.rejects(odd, withCode('INVALID_ARGUMENT', /encrypted/));
    });

    it('hands the passphrase of an encrypted volume on, and stages none without', async () => {
      await rig.volume('secret', { parameters: { encrypted: 'true' } });
      await behind.publishVolume('secret', { node: behind.node.id });
      const secrets = {
        CRYPTO_KEY_VALUE: 'correct horse',
        CRYPTO_KEY_PROVIDER: 'secret',
        CRYPTO_KEY_CIPHER: 'aes-xts-plain64',
        CRYPTO_KEY_HASH: 'sha256',
        CRYPTO_KEY_SIZE: '512',
        CRYPTO_PBKDF: 'argon2i',
      };
      await stage({ volumeId: 'secret', secrets });
      assert.deepEqual(staged('secret')?.encryption, {
        passphrase: 'correct horse',
        cipher: 'aes-xts-plain64',
        keySizeBits: 512,
        pbkdf: 'argon2i',
      });
      const plain = { volumeId: 'secret', volumeContext: { encrypted: 'false' } };
      await assert.rejects(stage(plain), withCode('INVALID_ARGUMENT', /CRYPTO_KEY_VALUE/));
      for (const key of Object.keys(secrets).slice(1)) {
        const wrong = stage({
          volumeId: 'secret',
          secrets: { ...secrets, [key]: 'No Such Thing' },
        });
        await assert.rejects(wrong, withCode('INVALID_ARGUMENT', new RegExp(key)));
      }
    });

    it('says ALREADY_EXISTS when it is staged there otherwise', async () => {
      await stage();
      await stage();
      await assert.rejects(stage({ volumeCapability: BLOCK }), withCode('ALREADY_EXISTS'));
      const xfs = { ...MOUNTED, mount: { fsType: 'xfs' } };
      await assert.rejects(stage({ volumeCapability: xfs }), withCode('ALREADY_EXISTS'));
      const elsewhere = stage({ stagingTargetPath: '/elsewhere' });
      await assert.rejects(elsewhere, withCode('FAILED_PRECONDITION'));
    });

    it('refuses missing fields, unknown volumes and one without a device', async () => {
      await assert.rejects(stage({ volumeId: '' }), withCode('INVALID_ARGUMENT'));
      await assert.rejects(stage({ stagingTargetPath: '' }), withCode('INVALID_ARGUMENT'));
      await assert.rejects(stage({ volumeCapability: null }), withCode('INVALID_ARGUMENT'));
      await assert.rejects(stage({ volumeId: 'none' }), withCode('NOT_FOUND'));
      await rig.volume('detached');
      await assert.rejects(stage({ volumeId: 'detached' }), withCode('FAILED_PRECONDITION'));
    });
  });

  describe('NodePublishVolume', () => {
    it('binds what is staged, also several times', async () => {
      await stage();
      await publish();
      await publish({ targetPath: '/second', readonly: true });
      const bound = behind.stored.get('v')?.bound;
      assert.equal(bound?.get('/target')?.readOnly, false);
      assert.equal(bound?.get('/second')?.readOnly, true);
      await assert.rejects(publish({ readonly: true }), withCode('ALREADY_EXISTS'));
    });

    it('lets a single writer have it alone', async () => {
      const single = { ...MOUNTED, accessMode: { mode: 'SINGLE_NODE_SINGLE_WRITER' } };
      await stage({ volumeCapability: single });
      await publish({ volumeCapability: single });
      await publish({ volumeCapability: single });
      const second = publish({ volumeCapability: single, targetPath: '/second' });
      await assert.rejects(second, withCode('FAILED_PRECONDITION'));
    });

    it('refuses missing fields, and a volume that is not staged', async () => {
      await assert.rejects(publish(), withCode('FAILED_PRECONDITION', /not staged/));
      const unstaged = publish({ stagingTargetPath: '' });
      await assert.rejects(unstaged, withCode('FAILED_PRECONDITION', /NodeStageVolume/));
      await assert.rejects(publish({ volumeId: '' }), withCode('INVALID_ARGUMENT'));
      await assert.rejects(publish({ targetPath: '' }), withCode('INVALID_ARGUMENT'));
      await assert.rejects(publish({ volumeCapability: null }), withCode('INVALID_ARGUMENT'));
      await assert.rejects(publish({ volumeId: 'none' }), withCode('NOT_FOUND'));
    });
  });

  it('undoes both, and is content when there is nothing to undo', async () => {
    await stage();
    await publish();
    for (let i = 0; i < 2; i += 1) {
      await rig.client.call('NodeUnpublishVolume', { volumeId: 'v', targetPath: '/target' });
      await rig.client.call('NodeUnstageVolume', { volumeId: 'v', ...at });
    }
    assert.equal(behind.stored.get('v')?.bound.size, 0);
    assert.equal(staged(), undefined);
    for (const volumeId of ['none', 'No Volume']) {
      await rig.client.call('NodeUnpublishVolume', { volumeId, targetPath: '/target' });
      await rig.client.call('NodeUnstageVolume', { volumeId, ...at });
    }
    for (const request of [{ volumeId: '' }, { volumeId: 'v' }]) {
      const calls = ['NodeUnpublishVolume', 'NodeUnstageVolume'] as const;
      for (const call of calls) {
        await assert.rejects(rig.client.call(call, request), withCode('INVALID_ARGUMENT'));
      }
    }
  });

  describe('NodeGetVolumeStats', () => {
    const stats = (volumeId: string, volumePath: string) =>
      rig.client.call('NodeGetVolumeStats', { volumeId, volumePath });

    it('tells bytes and inodes, and of a block device bytes alone', async () => {
      await stage();
      const { usage, volumeCondition } = await stats('v', '/staging');
      assert.deepEqual(usage, [
        { unit: 'BYTES', total: '1000', used: '400', available: '600' },
        { unit: 'INODES', total: '100', used: '4', available: '96' },
      ]);
      assert.equal(volumeCondition.abnormal, false);
      await rig.client.call('NodeUnstageVolume', { volumeId: 'v', ...at });
      await stage({ volumeCapability: BLOCK });
      assert.equal((await stats('v', '/staging')).usage.length, 1);
    });

    it('tells what is wrong with it', async () => {
      await stage();
      rig.agent.on('volumeUsage', async (ask) => ({ ...(await ask()), abnormal: 'read-only' }));
      const { volumeCondition } = await stats('v', '/staging');
      assert.deepEqual(volumeCondition, { abnormal: true, message: 'read-only' });
    });

    it('is asked once at a time, as a file system that hangs does not answer', async () => {
      await stage();
      const asking = rig.agent.gate('volumeUsage');
      const first = stats('v', '/staging');
      await asking.reached;
      await assert.rejects(stats('v', '/staging'), withCode('ABORTED', /stats v/));
      assert.equal(rig.agent.count('volumeUsage'), 1);
      asking.release();
      await first;
      await stats('v', '/staging');
    });

    it('refuses missing fields and what is not there', async () => {
      await assert.rejects(stats('', '/staging'), withCode('INVALID_ARGUMENT'));
      await assert.rejects(stats('v', ''), withCode('INVALID_ARGUMENT'));
      await assert.rejects(stats('none', '/staging'), withCode('NOT_FOUND'));
      for (const path of ['/elsewhere', 'some/path', '/a/../b']) {
        await assert.rejects(stats('v', path), withCode('NOT_FOUND'));
      }
    });
  });

  describe('NodeExpandVolume', () => {
    const expand = (more: object = {}) =>
      rig.client.call('NodeExpandVolume', { volumeId: 'v', volumePath: '/target', ...more });

    it('lets the file system fill the volume', async () => {
      await stage();
      await publish();
      assert.deepEqual(await expand(), { capacityBytes: String(GIB) });
      const [, , body] = rig.agent.asked.find(([method]) => method === 'growStaged') ?? [];
      assert.deepEqual(body, { path: '/target' });
    });

    it('refuses missing fields, what is not there, and more than the volume has', async () => {
      await stage();
      await publish();
      await assert.rejects(expand({ volumeId: '' }), withCode('INVALID_ARGUMENT'));
      await assert.rejects(expand({ volumePath: '' }), withCode('INVALID_ARGUMENT'));
      await assert.rejects(expand({ volumeId: 'none' }), withCode('NOT_FOUND'));
      await assert.rejects(expand({ volumePath: '/elsewhere' }), withCode('NOT_FOUND'));
      const more = expand({ capacityRange: { requiredBytes: String(2n * GIB) } });
      await assert.rejects(more, withCode('OUT_OF_RANGE'));
    });
  });

  it('says which node it is, and where', async () => {
    assert.deepEqual(await rig.client.call('NodeGetInfo', {}), {
      nodeId: behind.node.id,
      maxVolumesPerNode: '0',
      accessibleTopology: {
        segments: {
          'topology.csi.aurochs.io/node': behind.node.id,
          'topology.csi.aurochs.io/zone': 'zone-a',
        },
      },
    });
    behind.nodeList.length = 0;
    await assert.rejects(rig.client.call('NodeGetInfo', {}), withCode('UNAVAILABLE'));
  });

  it('says UNAVAILABLE when the agent does not answer', async () => {
    rig.agent.on('stageVolume', async () => {
      throw new AurochsError('UNAVAILABLE', 'no agent answers', 'Start one.');
    });
    await assert.rejects(stage(), withCode('UNAVAILABLE', /no agent answers\. Start one\./));
  });
});
