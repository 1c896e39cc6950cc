import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { DiffBody } from '../../../src/api/types.js';
import { withCode } from '../../support/csi-client.js';
import { CsiRig, GIB } from '../../support/csi-rig.js';
import { ModelAgent } from '../../support/model-agent.js';

const BLOCK_BYTES = 4096;

describe('csi: snapshot metadata', () => {
  let behind: ModelAgent;
  let rig: CsiRig;
  let base: string;
  let target: string;
  beforeEach(async () => {
    behind = new ModelAgent();
    rig = await CsiRig.start(behind);
    await rig.volume('v');
    base = await rig.snapshot('v', 'base');
    target = await rig.snapshot('v', 'target');
    behind.runs = runs(5);
  });
  afterEach(() => rig.stop());

  /** Every second one is a hole. */
  function runs(count: number): DiffBody['runs'] {
    return Array.from({ length: count }, (_, i) => ({
      offsetBytes: String(2 * i * BLOCK_BYTES),
      lengthBytes: String(BLOCK_BYTES),
      state: i % 2 === 0 ? 'data' : 'hole',
    }));
  }

  type Message = {
    blockMetadataType: string;
    volumeCapacityBytes: string;
    blockMetadata: { byteOffset: string; sizeBytes: string }[];
  };
  const all = async (stream: AsyncIterable<unknown>): Promise<Message[]> => {
    const messages: Message[] = [];
    for await (const message of stream) messages.push(message as Message);
    return messages;
  };
  const allocated = (more: object = {}) =>
    all(rig.client.stream('GetMetadataAllocated', { snapshotId: target, ...more }));
  const delta = (more: object = {}) =>
    all(
      rig.client.stream('GetMetadataDelta', {
        baseSnapshotId: base,
        targetSnapshotId: target,
        ...more,
      }),
    );
  const offsets = (messages: Message[]): number[] =>
    messages.flatMap(({ blockMetadata }) =>
      blockMetadata.map(({ byteOffset }) => Number(byteOffset) / BLOCK_BYTES),
    );

  it('tells what a snapshot holds, and what differs, holes among it', async () => {
    assert.deepEqual(offsets(await allocated()), [0, 4, 8]);
    const messages = await delta();
    assert.deepEqual(offsets(messages), [0, 2, 4, 6, 8]);
    for (const message of messages) {
      assert.equal(message.blockMetadataType, 'VARIABLE_LENGTH');
      assert.equal(message.volumeCapacityBytes, String(GIB));
    }
  });

  it('puts no more into a message than is wanted', async () => {
    const messages = await delta({ maxResults: 1 });
    assert.deepEqual(
      messages.map(({ blockMetadata }) => blockMetadata.length),
      [1, 1, 1, 1, 1],
    );
    await assert.rejects(delta({ maxResults: -1 }), withCode('INVALID_ARGUMENT'));
  });

  it('begins where it is told, and nowhere outside', async () => {
    assert.deepEqual(
      offsets(await delta({ startingOffset: String(4 * BLOCK_BYTES + 1) })),
      [4, 6, 8],
    );
    assert.equal((await delta({ startingOffset: String(GIB) })).length, 1);
    for (const startingOffset of [String(GIB + 1n), '-1']) {
      await assert.rejects(delta({ startingOffset }), withCode('OUT_OF_RANGE'));
    }
  });

  it('says the size also when nothing differs', async () => {
    behind.runs = [];
    const messages = await delta();
    assert.deepEqual(messages, [
      {
        blockMetadataType: 'VARIABLE_LENGTH',
        volumeCapacityBytes: String(GIB),
        blockMetadata: [],
      },
    ]);
  });

  it('ends at the snapshot’s size when the volume has grown since', async () => {
    behind.runs = [
      { offsetBytes: String(GIB - 4096n), lengthBytes: '8192', state: 'data' },
      { offsetBytes: String(2n * GIB), lengthBytes: '4096', state: 'data' },
    ];
    const [message] = await delta();
    assert.deepEqual(message?.blockMetadata, [
      { byteOffset: String(GIB - 4096n), sizeBytes: '4096' },
    ]);
  });

  it('says what is missing and what is not there', async () => {
    await rig.volume('w');
    const other = await rig.snapshot('w', 'other');
    const none = 'v/00000000-0000-4000-8000-000000000000';
    await assert.rejects(allocated({ snapshotId: '' }), withCode('INVALID_ARGUMENT'));
    await assert.rejects(allocated({ snapshotId: none }), withCode('NOT_FOUND'));
    await assert.rejects(delta({ baseSnapshotId: '' }), withCode('INVALID_ARGUMENT'));
    await assert.rejects(delta({ targetSnapshotId: 'nonsense' }), withCode('NOT_FOUND'));
    await assert.rejects(
      delta({ baseSnapshotId: other }),
      withCode('INVALID_ARGUMENT', /compared/),
    );
  });

  it('asks for no page that nobody reads, and for none after the caller has gone', async () => {
    const pageRuns = 100;
    const pages = Number(GIB) / (BLOCK_BYTES * 2) / pageRuns;
    rig.agent.on('diffPage', async (_ask, _volume, from, to, offset) => {
      const first = Number(offset);
      const page = runs(pageRuns).map((run) => ({
        ...run,
        offsetBytes: String(first + Number(run.offsetBytes)),
      }));
      const nextOffsetBytes = String(first + pageRuns * 2 * BLOCK_BYTES);
      return { from, to, runs: page, nextOffsetBytes };
    });
    const stream = rig.client.stream('GetMetadataDelta', {
      baseSnapshotId: base,
      targetSnapshotId: target,
    });
    const failed = new Promise((resolve) => stream.once('error', resolve));
    await once(stream, 'readable');
    stream.cancel();
    await failed;
    await rig.server.close();
    assert.ok(rig.agent.count('diffPage') < pages / 10, `${rig.agent.count('diffPage')} pages`);
    assert.ok(rig.lines.some((line) => line.includes('"cancelled":true')));
  });
});
