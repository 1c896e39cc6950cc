/**
 * What a user does with snapshots. The truth about them is the replica's chain, not the store: a
 * command goes to the open engine, and a detached volume is opened for it (OpenVolumes.forWork).
 */
import type { Clock } from '../core/clock.js';
import { AurochsError } from '../core/errors.js';
import { newId } from '../core/ids.js';
import { DIFF_RUNS_DEFAULT, DIFF_RUNS_MAX } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import type { DomainEvents } from './events.js';
import type { DiffRun, Snapshot, Volume } from './model.js';
import { checkSnapshotName } from './names.js';
import type { OpenVolume, OpenVolumes } from './open-volumes.js';
import type { EngineSnapshot, NodeDevices, Store } from './ports.js';
import { changeVolume } from './waiting.js';

export interface SnapshotServiceDeps {
  store: Store;
  open: OpenVolumes;
  devices: NodeDevices;
  events: DomainEvents;
  clock: Clock;
  log: Logger;
}

export interface DiffRequest {
  /** Name or id; empty: an empty volume. */
  from: string;
  /** Name or id; empty: the head. */
  to: string;
  offsetBytes: bigint;
  runsMax?: number;
}

export interface Diff {
  from: string | null;
  to: string | null;
  runs: DiffRun[];
  nextOffsetBytes: bigint | null;
}

export class SnapshotService {
  constructor(private readonly deps: SnapshotServiceDeps) {}

  list(volume: string): Promise<Snapshot[]> {
    return this.#work(volume, (open) => this.#snapshots(volume, open));
  }

  get(volume: string, nameOrId: string): Promise<Snapshot> {
    return this.#work(volume, async (open) =>
      find(await this.#snapshots(volume, open), volume, nameOrId),
    );
  }

  create(volume: string, name?: string): Promise<Snapshot> {
    if (name !== undefined) checkSnapshotName(name);
    return this.#work(volume, async (open, current) => {
      const nowUnixMs = this.deps.clock.nowUnixMs();
      const before = await this.#snapshots(volume, open);
      const chosen = name ?? nameByTime(nowUnixMs, before);
      if (before.some((snapshot) => snapshot.name === chosen)) {
        throw new AurochsError(
          'ALREADY_EXISTS',
          `volume ${volume} has a snapshot ${JSON.stringify(chosen)} already`,
          'Choose another name, or none to have one made from the time.',
        );
      }
      const id = newId();
      await this.#frozen(current, () => open.engine.takeSnapshot(id, chosen, nowUnixMs));
      this.#changed(volume, 'created', id);
      return find(await this.#snapshots(volume, open), volume, id);
    });
  }

  /** FAILED_PRECONDITION unless the volume is detached: an initiator would not notice. */
  revert(volume: string, nameOrId: string): Promise<Snapshot> {
    return this.#work(volume, async (open, current) => {
      if (current.state !== 'detached' || open.purpose !== 'maintenance') {
        throw new AurochsError(
          'FAILED_PRECONDITION',
          `volume ${volume} is ${current.state}; it can be reverted only while it is detached`,
          `Detach it first: aurochs volume detach ${volume}`,
        );
      }
      const { id } = find(await this.#snapshots(volume, open), volume, nameOrId);
      await open.engine.revert(id);
      this.#changed(volume, 'reverted', id);
      return find(await this.#snapshots(volume, open), volume, id);
    });
  }

  /** Resolves when the deletion is recorded; the space comes back with the merge that follows. */
  async delete(volume: string, nameOrId: string): Promise<void> {
    await this.#work(volume, async (open) => {
      const snapshot = find(await this.#snapshots(volume, open), volume, nameOrId);
      if (snapshot.removing) return;
      // Written first: after a crash the volume is opened again until the merge has ended.
      await changeVolume(this.deps.store, volume, (current) => ({ ...current, merging: true }));
      await open.engine.deleteSnapshot(snapshot.id);
      this.#changed(volume, 'removing', snapshot.id);
    });
  }

  diff(volume: string, request: DiffRequest): Promise<Diff> {
    const runsMax = request.runsMax ?? DIFF_RUNS_DEFAULT;
    if (runsMax < 1 || runsMax > DIFF_RUNS_MAX) {
      throw new AurochsError('OUT_OF_RANGE', `limit ${runsMax} is not 1 to ${DIFF_RUNS_MAX}`);
    }
    return this.#work(volume, async (open, current) => {
      if (request.offsetBytes > current.sizeBytes) {
        throw new AurochsError(
          'OUT_OF_RANGE',
          `offset ${request.offsetBytes} is past the end of volume ${volume} (${current.sizeBytes} bytes)`,
        );
      }
      const snapshots = await this.#snapshots(volume, open);
      const from = request.from === '' ? null : find(snapshots, volume, request.from).id;
      const to = request.to === '' ? null : find(snapshots, volume, request.to).id;
      const page = await open.engine.diff(from ?? '', to ?? '', request.offsetBytes, runsMax);
      return { from, to, runs: page.runs, nextOffsetBytes: page.nextOffsetBytes };
    });
  }

  /**
   * With the file systems of the volume's device held still. A snapshot is worth having without that, too: it holds
   * what a power cut at that moment would leave, and the file system's journal is made for it.
   */
  async #frozen(volume: Volume, take: () => Promise<void>): Promise<void> {
    const { log, devices } = this.deps;
    const warn = (why: string): void =>
      log.warn('a snapshot is crash-consistent only', { volume: volume.name, why });
    if (volume.device === null) return take();
    let thaw: (() => Promise<boolean>) | null = null;
    try {
      thaw = await devices.freeze(volume.name);
    } catch (error) {
      warn(String(error));
    }
    try {
      await take();
    } finally {
      const still = await thaw?.();
      if (still === false) warn('the file systems had to be let go before it was taken');
    }
  }

  #work<T>(volume: string, task: (open: OpenVolume, volume: Volume) => Promise<T>): Promise<T> {
    return this.deps.open.exclusive(volume, async () => {
      const { open, volume: current } = await this.deps.open.forWork(volume);
      return task(open, current);
    });
  }

  async #snapshots(volume: string, open: OpenVolume): Promise<Snapshot[]> {
    const description = await this.deps.open.describe(open);
    return description.snapshots.map((snapshot) => ({
      ...fromEngine(snapshot),
      volume,
      mergeShare: snapshot.removing ? (open.mergeShares.get(snapshot.id) ?? null) : null,
      headParent: snapshot.id === description.headParent,
    }));
  }

  #changed(volume: string, change: 'created' | 'reverted' | 'removing', snapshot: string): void {
    this.deps.log.info(`snapshot ${change}`, { volume, snapshot });
    this.deps.events.emit({ type: 'snapshot', volume, change, snapshot });
  }
}

function fromEngine(snapshot: EngineSnapshot) {
  return {
    id: snapshot.id,
    name: snapshot.name,
    parent: snapshot.parent === '' ? null : snapshot.parent,
    createdUnixMs: snapshot.createdUnixMs,
    sizeBytes: snapshot.sizeBytes,
    allocatedBytes: snapshot.allocatedBytes,
    removing: snapshot.removing,
  };
}

function find(snapshots: readonly Snapshot[], volume: string, nameOrId: string): Snapshot {
  const found = snapshots.find((each) => each.id === nameOrId || each.name === nameOrId);
  if (found !== undefined) return found;
  throw new AurochsError(
    'NOT_FOUND',
    `volume ${volume} has no snapshot ${JSON.stringify(nameOrId.slice(0, 80))}`,
    `"aurochs snapshot ls ${volume}" shows all.`,
  );
}

/** "snap-20261122t191000z", with a number behind it when that second has one already. */
function nameByTime(unixMs: number, taken: readonly Snapshot[]): string {
  const time = new Date(unixMs)
    .toISOString()
    .replace(/[-:]|\.\d+/g, '')
    .toLowerCase();
  const base = `snap-${time}`;
  const names = new Set(taken.map((snapshot) => snapshot.name));
  for (let number = 1; ; ++number) {
    const name = number === 1 ? base : `${base}-${number}`;
    if (!names.has(name)) return name;
  }
}
