/** Which blocks a snapshot holds, and which differ between two: what a backup copies. */
import type { DiffBody, SnapshotBody } from '../api/types.js';
import { AurochsError } from '../core/errors.js';
import { CSI_BLOCKS_PER_MESSAGE_MAX, VOLUME_BYTES_MULTIPLE } from '../core/limits.js';
import type { AgentApi } from './agent-api.js';
import type { SnapshotMetadataCalls } from './calls.js';
import type { GetMetadataDeltaResponse } from './gen/csi/v1/GetMetadataDeltaResponse.js';
import { snapshotPlaceOf } from './names.js';
import { outOfRange, required } from './requests.js';

/** The same for both calls. */
type Metadata = GetMetadataDeltaResponse;
type Run = DiffBody['runs'][number];

interface Question {
  /** Null: what is not empty. */
  base: SnapshotBody | null;
  target: SnapshotBody;
  offsetBytes: bigint;
  blocksMax: number;
}

export function snapshotMetadataService(agent: AgentApi): SnapshotMetadataCalls {
  return {
    GetMetadataAllocated: async function* (request) {
      const target = await findSnapshot(agent, 'snapshot_id', request.snapshotId);
      const question = { base: null, target, ...bounds(request, target) };
      // A hole is a block that was given back: nothing is there to copy.
      yield* messages(agent, question, ({ state }) => state === 'data');
    },

    GetMetadataDelta: async function* (request) {
      const base = await findSnapshot(agent, 'base_snapshot_id', request.baseSnapshotId);
      const target = await findSnapshot(agent, 'target_snapshot_id', request.targetSnapshotId);
      if (base.volume !== target.volume) {
        throw new AurochsError(
          'INVALID_ARGUMENT',
          `snapshots of volumes ${base.volume} and ${target.volume} cannot be compared`,
        );
      }
      const question = { base, target, ...bounds(request, target) };
      yield* messages(agent, question, () => true);
    },
  };
}

async function findSnapshot(
  agent: AgentApi,
  field: string,
  snapshotId: string,
): Promise<SnapshotBody> {
  const { volume, snapshot } = snapshotPlaceOf(required(field, snapshotId));
  const found = await agent.snapshot(volume, snapshot);
  if (!found.removing) return found;
  throw new AurochsError('NOT_FOUND', `snapshot ${snapshotId} is being deleted`);
}

function bounds(
  { startingOffset, maxResults }: { startingOffset: string; maxResults: number },
  { sizeBytes }: SnapshotBody,
): Pick<Question, 'offsetBytes' | 'blocksMax'> {
  if (maxResults < 0) throw new AurochsError('INVALID_ARGUMENT', 'max_results is negative');
  const offsetBytes = BigInt(startingOffset);
  if (offsetBytes < 0n || offsetBytes > BigInt(sizeBytes)) {
    throw outOfRange(`starting_offset is not within the ${sizeBytes} bytes of the snapshot`);
  }
  const blocksMax = maxResults === 0 ? CSI_BLOCKS_PER_MESSAGE_MAX : maxResults;
  return { offsetBytes, blocksMax: Math.min(blocksMax, CSI_BLOCKS_PER_MESSAGE_MAX) };
}

/** One page of the agent's after the other, as fast as the caller takes them; the first says the size in any case. */
async function* messages(
  agent: AgentApi,
  { base, target, offsetBytes, blocksMax }: Question,
  counts: (run: Run) => boolean,
): AsyncGenerator<Metadata> {
  const sizeBytes = BigInt(target.sizeBytes);
  const message = (runs: readonly Run[]): Metadata => ({
    blockMetadataType: 'VARIABLE_LENGTH',
    volumeCapacityBytes: target.sizeBytes,
    blockMetadata: runs.map((run) => ({
      byteOffset: run.offsetBytes,
      sizeBytes: run.lengthBytes,
    })),
  });
  let offset: string | null = String(offsetBytes - (offsetBytes % VOLUME_BYTES_MULTIPLE));
  let isFirst = true;
  while (offset !== null && (isFirst || BigInt(offset) < sizeBytes)) {
    const page: DiffBody = await agent.diffPage(target.volume, base?.id ?? '', target.id, offset);
    const runs = page.runs.filter(counts).flatMap((run) => withinSize(run, sizeBytes));
    for (let first = 0; first < runs.length || isFirst; first += blocksMax) {
      yield message(runs.slice(first, first + blocksMax));
      isFirst = false;
    }
    offset = page.nextOffsetBytes;
  }
}

/** The volume may have grown since the snapshot. */
function withinSize(run: Run, sizeBytes: bigint): Run[] {
  const offset = BigInt(run.offsetBytes);
  if (offset >= sizeBytes) return [];
  const left = sizeBytes - offset;
  return BigInt(run.lengthBytes) <= left ? [run] : [{ ...run, lengthBytes: String(left) }];
}
