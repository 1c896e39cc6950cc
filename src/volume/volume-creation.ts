/** How a volume comes into being: blank, or as the copy of a snapshot or of another volume. */
import { AurochsError, hasCode } from '../core/errors.js';
import { newId, shortId } from '../core/ids.js';
import { CREATE_COPY_WAIT_MS, VOLUMES_MAX } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import type { Clock } from '../core/clock.js';
import { formatSizeExact } from '../core/units.js';
import { copyRests } from './copy-problem.js';
import type { DiskService } from './disk-service.js';
import { checkLabels, usableTags } from './labels.js';
import {
  type ChapSettings,
  type Disk,
  PLAIN_FORM,
  type Volume,
  type VolumeSource,
} from './model.js';
import { checkChap, checkInitiators, checkVolumeName } from './names.js';
import { onlyReplica, type OpenVolumes } from './open-volumes.js';
import type { PlaceNeed, PlaceWish } from './placement.js';
import type { ReplicaDescription, Store, Stored } from './ports.js';
import { snapshotNotFound } from './snapshot-service.js';
import { problemOf } from './volume-refusals.js';
import { usableSize } from './volume-size.js';
import { changeVolume, type Waiter } from './waiting.js';

export interface CreateVolume extends PlaceWish {
  name: string;
  sizeBytes: bigint;
  chap?: ChapSettings;
  initiators?: string[];
  labels?: Record<string, string>;
  /** The snapshot by id or name; without one the volume as it is now. */
  source?: { volume: string; snapshot?: string };
}

export interface VolumeCreationDeps {
  store: Store;
  open: OpenVolumes;
  disks: DiskService;
  waiter: Waiter;
  /** CREATE_COPY_WAIT_MS when absent. */
  copyWaitMs?: number;
  clock: Clock;
  log: Logger;
}

/** What is copied. */
interface Origin {
  /** Null: a snapshot that is yet to be taken. */
  snapshotId: string | null;
  sizeBytes: bigint;
  /** What its layers take on the disk. */
  heldBytes: bigint;
}

export class VolumeCreation {
  constructor(private readonly deps: VolumeCreationDeps) {}

  /**
   * Answers when the volume is there, or in state "creating" when its copy takes longer than CREATE_COPY_WAIT_MS. What
   * fails until then is undone.
   */
  async create(request: CreateVolume): Promise<Volume> {
    check(request);
    const sizeBytes = usableSize(request.sizeBytes);
    await this.#refuseIfTaken(request.name);
    const stored =
      request.source === undefined
        ? await this.#asBlank(request, sizeBytes)
        : await this.#asCopy(request, request.source, sizeBytes);
    this.deps.log.info('volume asked for', { volume: stored.key, sizeBytes: String(sizeBytes) });
    const seen = await this.#made(stored);
    if (seen !== null && !hasFailed(seen)) return seen;
    throw await this.#undo(request.name, seen);
  }

  async #refuseIfTaken(name: string): Promise<void> {
    const { store } = this.deps;
    if ((await store.get('volume', name)) !== null) {
      throw new AurochsError(
        'ALREADY_EXISTS',
        `there is a volume ${JSON.stringify(name)} already`,
        'Choose another name.',
      );
    }
    if ((await store.count('volume')) >= VOLUMES_MAX) {
      throw new AurochsError('LIMIT_EXCEEDED', `there are ${VOLUMES_MAX} volumes already`);
    }
  }

  async #asBlank(request: CreateVolume, sizeBytes: bigint): Promise<Stored<'volume'>> {
    return this.#write(request, null, { volume: request.name, sizeBytes });
  }

  /** Within `exclusive` of the source, so that it is not deleted before it is known to be copied from. */
  #asCopy(
    request: CreateVolume,
    { volume: name, snapshot }: { volume: string; snapshot?: string },
    sizeBytes: bigint,
  ): Promise<Stored<'volume'>> {
    const { open } = this.deps;
    return open.exclusive(name, async () => {
      const { volume: from, open: live } = await open.forWork(name);
      const origin = originOf(name, await open.describe(live), snapshot);
      if (sizeBytes < origin.sizeBytes) {
        throw new AurochsError(
          'OUT_OF_RANGE',
          `volume ${request.name}: ${formatSizeExact(sizeBytes)} is less than its source has (${formatSizeExact(origin.sizeBytes)})`,
          `Ask for ${origin.sizeBytes} bytes or more.`,
        );
      }
      const source: VolumeSource = {
        volumeId: from.id,
        volume: name,
        snapshotId: origin.snapshotId ?? newId(),
        temporary: origin.snapshotId === null,
      };
      const near = { diskId: onlyReplica(from).diskId, bytes: origin.heldBytes };
      return this.#write(request, source, { volume: request.name, sizeBytes, near });
    });
  }

  async #write(
    request: CreateVolume,
    source: VolumeSource | null,
    need: PlaceNeed,
  ): Promise<Stored<'volume'>> {
    const disk = await this.deps.disks.choose(request, need);
    return this.deps.store.create(
      'volume',
      request.name,
      this.#record(request, source, need, disk),
    );
  }

  #record(
    request: CreateVolume,
    source: VolumeSource | null,
    { sizeBytes }: PlaceNeed,
    disk: Disk,
  ): Volume {
    const replicaId = newId();
    const { name } = request;
    return {
      id: newId(),
      name,
      sizeBytes,
      createdUnixMs: this.deps.clock.nowUnixMs(),
      desired: {
        ...PLAIN_FORM,
        attached: false,
        frontends: [],
        device: null,
        sizeBytes,
        deleted: false,
      },
      labels: request.labels ?? {},
      source,
      publications: [],
      chap: request.chap ?? null,
      initiators: request.initiators ?? [],
      epoch: 0n,
      replicas: [
        {
          id: replicaId,
          nodeId: disk.nodeId,
          diskId: disk.id,
          directory: `${name}-${shortId(replicaId)}`,
          failed: null,
        },
      ],
      merging: false,
      unwanted: [],
      state: 'creating',
      robustness: 'unknown',
      device: null,
      problem: null,
    };
  }

  /** The volume once it is there or has failed; one that is still being copied after a while as it is then. */
  async #made(stored: Stored<'volume'>): Promise<Volume | null> {
    const { waiter, store, copyWaitMs = CREATE_COPY_WAIT_MS } = this.deps;
    const done = (volume: Volume | null): boolean =>
      volume === null || volume.state !== 'creating' || hasFailed(volume);
    if (stored.value.source === null) return waiter.wait(stored, 'is being created', done);
    try {
      return await waiter.wait(stored, 'is being copied', done, copyWaitMs);
    } catch (error) {
      const now = await store.get('volume', stored.key);
      if (!hasCode(error, 'UNAVAILABLE') || now?.value.id !== stored.value.id) throw error;
      return now.value;
    }
  }

  async #undo(name: string, seen: Volume | null): Promise<AurochsError> {
    if (seen === null) {
      return new AurochsError('ABORTED', `volume ${name} was deleted while it was being created`);
    }
    const failure = problemOf(seen, 'could not be created');
    const stored = await changeVolume(this.deps.store, name, (volume) => ({
      ...volume,
      desired: { ...volume.desired, deleted: true },
      problem: null,
    }));
    await this.deps.waiter.waitForUndo(
      stored,
      (volume) => volume === null || volume.problem !== null,
    );
    return failure;
  }
}

function check(request: CreateVolume): void {
  checkVolumeName(request.name);
  if (request.chap !== undefined) checkChap(request.chap);
  checkInitiators(request.initiators ?? []);
  checkLabels(request.labels ?? {});
  usableTags('disk tag', request.diskTags ?? []);
  usableTags('node tag', request.nodeTags ?? []);
}

/** What passes by itself is no failure of a copy: it begins anew. */
function hasFailed(volume: Volume): boolean {
  if (volume.state !== 'creating') return false;
  return volume.source === null ? volume.problem !== null : copyRests(volume);
}

function originOf(
  volume: string,
  description: ReplicaDescription,
  snapshot: string | undefined,
): Origin {
  const { snapshots, sizeBytes, headParent, headAllocatedBytes } = description;
  const heldBelow = (id: string): bigint => {
    const layer = snapshots.find((each) => each.id === id);
    return layer === undefined ? 0n : layer.allocatedBytes + heldBelow(layer.parent);
  };
  if (snapshot === undefined) {
    const heldBytes = headAllocatedBytes + heldBelow(headParent);
    return { snapshotId: null, sizeBytes, heldBytes };
  }
  const found = snapshots.find(
    ({ id, name, removing }) => !removing && (id === snapshot || name === snapshot),
  );
  if (found === undefined) throw snapshotNotFound(volume, snapshot);
  return { snapshotId: found.id, sizeBytes: found.sizeBytes, heldBytes: heldBelow(found.id) };
}
