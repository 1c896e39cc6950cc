import assert from 'node:assert/strict';
import { closeSync, fsyncSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { withCode } from '../support/csi-client.js';
import { BLOCK } from '../support/csi-rig.js';
import { attempt, run, RunningProgram } from '../support/programs.js';
import { Random } from '../support/random.js';
import { CsiNode } from './support/csi-node.js';
import { eventually } from './support/devices.js';
import { note } from './support/messages.js';
import { allTraces, replicaFilesWith } from './support/traces.js';

const MIB = 1024 * 1024;
const SIZE_BYTES = 64 * MIB;
const LARGER_BYTES = 96 * MIB;
const BLOCK_BYTES = 4096;
const COUNT_IN_STEP = fileURLToPath(new URL('support/count-in-step.js', import.meta.url));
const GROUP_SNAPSHOTS = 3;
const PASSPHRASE = 'correct horse battery staple';
/** Cheap to derive, as the machine is emulated. */
const SECRETS = { CRYPTO_KEY_VALUE: PASSPHRASE, CRYPTO_PBKDF: 'pbkdf2' };
const MARKER = 'a sentence that is on the disk in this form or not at all';

/** What the file system on a device takes for its size. */
async function fileSystemBytes(volume: string): Promise<number> {
  const said = await run('dumpe2fs', '-h', `/dev/aurochs/${volume}`);
  const field = (name: string): number =>
    Number(new RegExp(`^${name}: +(\\d+)$`, 'm').exec(said)?.[1]);
  return field('Block count') * field('Block size');
}

describe('CSI over devices', function () {
  this.timeout(900_000);
  const node = new CsiNode();
  const random = Random.fromEnvironment();

  before(async () => {
    note(`seed ${random.seed}`);
    await node.start();
  });
  after(() => node.stop());

  const expectStats = async (volume: string, pod: string): Promise<void> => {
    const { usage, volumeCondition } = await node.stats(volume, pod);
    const { blocks, bfree, bavail, bsize, files, ffree } = await statfs(node.target(volume, pod));
    const said = (unit: string, total: number, used: number, available: number) => ({
      ...{ unit, total: String(total), used: String(used), available: String(available) },
    });
    assert.deepEqual(usage, [
      said('BYTES', blocks * bsize, (blocks - bfree) * bsize, bavail * bsize),
      said('INODES', files, files - ffree, ffree),
    ]);
    assert.equal(volumeCondition.abnormal, false, volumeCondition.message);
  };

  it('gives a volume to two pods, one of which may not write, and grows it meanwhile', async () => {
    const a = await node.bring('shared', 'a', { sizeBytes: SIZE_BYTES });
    await node.mount('shared', 'b', { readonly: true });
    const b = node.target('shared', 'b');
    writeFileSync(`${a}/file`, MARKER, { flush: true });
    assert.equal(readFileSync(`${b}/file`, 'utf8'), MARKER);
    assert.throws(() => writeFileSync(`${b}/file`, ''), { code: 'EROFS' });
    await expectStats('shared', 'a');
    const before = (await statfs(a)).blocks;

    await node.expand('shared', 'a', LARGER_BYTES);
    assert.equal(await fileSystemBytes('shared'), LARGER_BYTES);
    assert.ok((await statfs(a)).blocks > before);
    await expectStats('shared', 'b');
    assert.equal(readFileSync(`${b}/file`, 'utf8'), MARKER);

    await run('mount', '-o', 'remount,abort', node.staging('shared'));
    await attempt('touch', `${a}/another`);
    const { volumeCondition } = await node.stats('shared', 'a');
    assert.equal(volumeCondition.abnormal, true, volumeCondition.message);
    await node.takeAway('shared', 'a', 'b');
  });

  it('restores a snapshot to a larger volume, whose file system fills it', async () => {
    const data = random.bytes(4 * MIB);
    const path = await node.bring('origin', 'a', { sizeBytes: SIZE_BYTES });
    writeFileSync(`${path}/file`, data, { flush: true });
    const snapshotId = await node.snapshot('origin', 'before');
    writeFileSync(`${path}/file`, MARKER, { flush: true });

    const clone = await node.bring('clone', 'a', { sizeBytes: LARGER_BYTES, snapshotId });
    assert.ok(readFileSync(`${clone}/file`).equals(data));
    assert.equal(await fileSystemBytes('clone'), LARGER_BYTES);
    await expectStats('clone', 'a');
    assert.equal(readFileSync(`${path}/file`, 'utf8'), MARKER);
    await node.deleteSnapshot(snapshotId);
    await node.takeAway('clone', 'a');
    await node.takeAway('origin', 'a');
  });

  it('takes snapshots of two volumes at one moment, while both are written to', async () => {
    const names = ['first', 'second'];
    const files: string[] = [];
    for (const name of names) {
      files.push(`${await node.bring(name, 'a', { sizeBytes: SIZE_BYTES })}/count`);
    }
    const load = new RunningProgram(process.execPath, [COUNT_IN_STEP, ...files], 600_000);
    const counted = (): number => load.stdout.split('\n').length - 1;
    await eventually('it counts', () => (counted() > 0 ? true : undefined));
    const groups: { id: string; snapshotIds: string[]; least: number }[] = [];
    for (let i = 0; i < GROUP_SNAPSHOTS; i += 1) {
      const least = counted();
      const request = { name: `group-${i}`, sourceVolumeIds: names };
      const { groupSnapshot } = await node.call('CreateVolumeGroupSnapshot', request);
      const members = groupSnapshot.snapshots as { snapshotId: string; sourceVolumeId: string }[];
      const snapshotIds = names.map(
        (name) => members.find((each) => each.sourceVolumeId === name)?.snapshotId ?? '',
      );
      groups.push({ id: groupSnapshot.groupSnapshotId as string, snapshotIds, least });
      const at = counted();
      await eventually('it goes on counting', () => (counted() > at ? true : undefined));
    }
    load.child.kill();
    await load.result;

    for (const { id, snapshotIds, least } of groups) {
      const counts: number[] = [];
      for (const [index, snapshotId] of snapshotIds.entries()) {
        const clone = await node.bring(`of-${index}`, 'a', { sizeBytes: SIZE_BYTES, snapshotId });
        counts.push(Number(readFileSync(`${clone}/count`).readBigUInt64LE()));
        await node.takeAway(`of-${index}`, 'a');
      }
      const [first = NaN, second = NaN] = counts;
      note(`counts of ${first} and ${second}, at least ${least}`);
      assert.ok(second >= least && (first === second || first === second + 1));
      await node.call('DeleteVolumeGroupSnapshot', { groupSnapshotId: id, snapshotIds });
    }
    for (const name of names) await node.takeAway(name, 'a');
  });

  it('keeps what is encrypted from whoever has no key', async () => {
    const parameters = { encrypted: 'true' };
    const wanted = { sizeBytes: SIZE_BYTES, parameters, secrets: SECRETS };
    const path = await node.bring('secret', 'a', wanted);
    writeFileSync(`${path}/file`, MARKER.repeat(1000), { flush: true });
    assert.deepEqual(await replicaFilesWith(MARKER, node.agent, 'secret'), []);
    await node.unmount('secret', 'a');
    await node.unstage('secret');
    const wrong = { secrets: { ...SECRETS, CRYPTO_KEY_VALUE: 'another' } };
    await assert.rejects(node.stage('secret', wrong), withCode('PERMISSION_DENIED'));
    await assert.rejects(node.stage('secret'), withCode('INVALID_ARGUMENT', /CRYPTO_KEY_VALUE/));
    await node.stage('secret', { secrets: SECRETS });
    assert.match(readFileSync(`${node.staging('secret')}/file`, 'utf8'), new RegExp(MARKER));
    assert.doesNotMatch(node.driver.log + node.agent.log, new RegExp(PASSPHRASE));
    await node.takeAway('secret');
  });

  it('tells exactly which blocks differ between two snapshots, and which hold data', async () => {
    const use = { capability: BLOCK, sizeBytes: SIZE_BYTES };
    const device = openSync(await node.bring('raw', 'a', use), 'r+');
    const some = (count: number): number[] =>
      Array.from({ length: count }, () => random.below(SIZE_BYTES / BLOCK_BYTES));
    const write = (blocks: readonly number[]): void => {
      for (const block of blocks) {
        writeSync(device, random.bytes(BLOCK_BYTES), 0, BLOCK_BYTES, block * BLOCK_BYTES);
      }
      fsyncSync(device);
    };
    const early = some(200);
    write(early);
    const base = await node.snapshot('raw', 'base');
    const late = [...some(100), ...early.slice(0, 50)];
    write(late);
    const target = await node.snapshot('raw', 'target');
    closeSync(device);

    const sorted = (blocks: Iterable<number>): number[] =>
      [...new Set(blocks)].sort((x, y) => x - y);
    const delta = { baseSnapshotId: base, targetSnapshotId: target };
    assert.deepEqual(await node.blocks('GetMetadataDelta', delta), sorted(late));
    const allocated = (snapshotId: string) => node.blocks('GetMetadataAllocated', { snapshotId });
    assert.deepEqual(await allocated(base), sorted(early));
    assert.deepEqual(await allocated(target), sorted([...early, ...late]));
    for (const snapshotId of [base, target]) await node.deleteSnapshot(snapshotId);
    await node.takeAway('raw', 'a');
  });

  it('goes on with each call in the life of a volume after a kill of the agent', async () => {
    const target = node.target('mortal', 'a');
    let snapshotId = '';
    const life: Record<string, () => Promise<unknown>> = {
      CreateVolume: () => node.create('mortal', { sizeBytes: SIZE_BYTES }),
      ControllerPublishVolume: () => node.publish('mortal'),
      NodeStageVolume: () => node.stage('mortal'),
      NodePublishVolume: async () => {
        await node.mount('mortal', 'a');
        writeFileSync(`${target}/file`, MARKER, { flush: true });
      },
      CreateSnapshot: async () => (snapshotId = await node.snapshot('mortal', 'kept')),
      'CreateVolume of a snapshot': () =>
        node.create('restored', { sizeBytes: SIZE_BYTES, snapshotId }),
      ControllerExpandVolume: () => node.expandVolume('mortal', LARGER_BYTES),
      NodeExpandVolume: () => node.expandMounted('mortal', 'a', LARGER_BYTES),
      NodeGetVolumeStats: async () => {
        const { volumeCondition } = await node.stats('mortal', 'a');
        return [volumeCondition, readFileSync(`${target}/file`, 'utf8')];
      },
      NodeUnpublishVolume: () => node.unmount('mortal', 'a'),
      NodeUnstageVolume: () => node.unstage('mortal'),
      ControllerUnpublishVolume: () => node.unpublish('mortal'),
      DeleteSnapshot: () => node.deleteSnapshot(snapshotId),
      'DeleteVolume of a copy': () => node.call('DeleteVolume', { volumeId: 'restored' }),
      DeleteVolume: () => node.call('DeleteVolume', { volumeId: 'mortal' }),
    };
    for (const [name, step] of Object.entries(life)) {
      const started = performance.now();
      const answer = await step();
      await node.restartAgent();
      const restarted = performance.now();
      assert.deepEqual(await step(), answer, name);
      const [before, after] = [restarted - started, performance.now() - restarted];
      note(`${name}: ${Math.round(before)} ms with a restart, ${Math.round(after)} ms again`);
    }
  });

  it('leaves nothing behind', async () => {
    assert.deepEqual(await node.agent.api.volumes(), []);
    assert.deepEqual(await node.agent.api.snapshotGroups(), []);
    assert.deepEqual(await allTraces(node.agent.dataDirectory, node.directory), []);
    assert.doesNotMatch(node.driver.log + node.agent.log, /CHECK failed|fault of ours/);
  });
});
