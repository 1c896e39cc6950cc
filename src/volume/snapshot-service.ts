/**
 * What a user does with snapshots. The truth about them is the replica's chain, not the store: a
 * command goes to the open engine, and a detached volume is opened for it (OpenVolumes.forWork).
 */
import type { Clock } from '../core/clock.js';
import { AurochsError } from '../core/errors.js';
import { newId } from '../core/ids.js';
import { DIFF_RUNS_DEFAULT, DIFF_RUNS_MAX } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import { isCopying } from './copy-problem.js';
import type { DomainEvents } from './events.js';
import type { DiffRun, GroupMember, Snapshot, SnapshotGroup, Volume } from './model.js';
import { checkSnapshotName } from './names.js';
import type { OpenVolume, OpenVolumes } from './open-volumes.js';
import type { EngineSnapshot, NodeDevices, ReplicaDescription, Store } from './ports.js';
import { takenGroups } from './snapshot-groups.js';
import { holdStill } from './stillness.js';
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
    return this.#work(volume, (open, current) => this.#snapshots(current, open));
  }

  get(volume: string, nameOrId: string): Promise<Snapshot> {
    return this.#work(volume, async (open, current) =>
      find(await this.#snapshots(current, open), volume, nameOrId),
    );
  }

  /** Of all volumes, as they were last seen: no volume is opened, so one that was not open since the agent started shows none. */
  async lastSeen(name: string): Promise<Snapshot[]> {
    const { store, open } = this.deps;
    const groups = await takenGroups(store);
    const { items } = await store.list('volume');
    return items.flatMap(({ value: volume }) => {
      const description = open.lastDescription(volume);
      if (description === null) return [];
      const shares = open.get(volume)?.mergeShares ?? new Map<string, number>();
      const named = description.snapshots.filter((snapshot) => snapshot.name === name);
      return told(volume, { ...description, snapshots: named }, shares, groups);
    });
  }

  create(volume: string, name?: string): Promise<Snapshot> {
    if (name !== undefined) checkSnapshotName(name);
    return this.#work(volume, async (open, current) => {
      const before = await this.#snapshots(current, open);
      const chosen = name ?? nameByTime(this.deps.clock.nowUnixMs(), before);
      if (before.some((snapshot) => snapshot.name === chosen)) {
        throw new AurochsError(
          'ALREADY_EXISTS',
          `volume ${volume} has a snapshot ${JSON.stringify(chosen)} already`,
          'Choose another name, or none to have one made from the time.',
        );
      }
      const id = newId();
      await this.#take(current, open, id, chosen);
      this.#changed(volume, 'created', id);
      return find(await this.#snapshots(current, open), volume, id);
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
      const { id } = find(await this.#snapshots(current, open), volume, nameOrId);
      await open.engine.revert(id);
      this.#changed(volume, 'reverted', id);
      return find(await this.#snapshots(current, open), volume, id);
    });
  }

  /** Resolves when the deletion is recorded; the space comes back with the merge that follows. */
  delete(volume: string, nameOrId: string): Promise<void> {
    return this.#work(volume, async (open, current) => {
      const snapshot = find(await this.#snapshots(current, open), volume, nameOrId);
      if (snapshot.group !== null) throw await this.#belongsToGroup(snapshot);
      await this.#remove(open, snapshot);
    });
  }

  /** As delete, for the group that it was taken in. What is gone is no error. */
  async deleteMember({ volume, volumeId, snapshotId }: GroupMember): Promise<void> {
    const stored = await this.deps.store.get('volume', volume);
    if (stored?.value.id !== volumeId || stored.value.desired.deleted) return;
    await this.#work(volume, async (open, current) => {
      const snapshots = await this.#snapshots(current, open);
      const member = snapshots.find(({ id }) => id === snapshotId);
      if (member !== undefined) await this.#remove(open, member);
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
      const snapshots = await this.#snapshots(current, open);
      const from = request.from === '' ? null : find(snapshots, volume, request.from).id;
      const to = request.to === '' ? null : find(snapshots, volume, request.to).id;
      const page = await open.engine.diff(from ?? '', to ?? '', request.offsetBytes, runsMax);
      return { from, to, runs: page.runs, nextOffsetBytes: page.nextOffsetBytes };
    });
  }

  async #take(volume: Volume, open: OpenVolume, id: string, name: string): Promise<void> {
    const thaw = await holdStill(this.deps, volume);
    try {
      await open.engine.takeSnapshot(id, name, this.deps.clock.nowUnixMs());
    } finally {
      await thaw();
    }
  }

  #work<T>(volume: string, task: (open: OpenVolume, volume: Volume) => Promise<T>): Promise<T> {
    return this.deps.open.exclusive(volume, async () => {
      const { open, volume: current } = await this.deps.open.forWork(volume);
      return task(open, current);
    });
  }

  async #remove(open: OpenVolume, { id, name, volume, removing }: Snapshot): Promise<void> {
    if (removing) return;
    await this.#refuseIfCopied(open, id, `snapshot ${name} of volume ${volume}`);
    // Written first: after a crash the volume is opened again until the merge has ended.
    await changeVolume(this.deps.store, volume, (current) => ({ ...current, merging: true }));
    await open.engine.deleteSnapshot(id);
    this.#changed(volume, 'removing', id);
  }

  /** The volume that is made of it may begin anew at any time. */
  async #refuseIfCopied({ volumeId }: OpenVolume, snapshotId: string, what: string): Promise<void> {
    const { items } = await this.deps.store.list('volume');
    const copy = items.find(
      ({ value: each }) =>
        each.source?.volumeId === volumeId &&
        each.source.snapshotId === snapshotId &&
        isCopying(each),
    );
    if (copy === undefined) return;
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `${what} is being copied to volume ${copy.key}`,
      `Wait until volume ${copy.key} is there, or delete that one first.`,
    );
  }

  async #snapshots(volume: Volume, open: OpenVolume): Promise<Snapshot[]> {
    const description = await this.deps.open.describe(open);
    return told(volume, description, open.mergeShares, await takenGroups(this.deps.store));
  }

  async #belongsToGroup({ name, volume, group: id }: Snapshot): Promise<AurochsError> {
    const group = (await takenGroups(this.deps.store)).find((each) => each.id === id);
    const groupName = group?.name ?? id;
    return new AurochsError(
      'FAILED_PRECONDITION',
      `snapshot ${name} of volume ${volume} belongs to group ${groupName}`,
      `Delete the whole group: aurochs snapshot group rm ${groupName}`,
    );
  }

  #changed(volume: string, change: 'created' | 'reverted' | 'removing', snapshot: string): void {
    this.deps.log.info(`snapshot ${change}`, { volume, snapshot });
    this.deps.events.emit({ type: 'snapshot', volume, change, snapshot });
  }
}

function told(
  volume: Volume,
  description: ReplicaDescription,
  mergeShares: ReadonlyMap<string, number>,
  groups: readonly SnapshotGroup[],
): Snapshot[] {
  return description.snapshots.map((snapshot) => ({
    ...fromEngine(snapshot),
    // Nobody needs it any more: it goes in a moment.
    removing: snapshot.removing || volume.unwanted.includes(snapshot.id),
    volume: volume.name,
    mergeShare: snapshot.removing ? (mergeShares.get(snapshot.id) ?? null) : null,
    headParent: snapshot.id === description.headParent,
    group: groups.find(({ members }) => isMember(members, volume, snapshot.id))?.id ?? null,
  }));
}

function isMember(members: readonly GroupMember[], volume: Volume, snapshotId: string): boolean {
  return members.some((each) => each.snapshotId === snapshotId && each.volumeId === volume.id);
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
  if (found === undefined) throw snapshotNotFound(volume, nameOrId);
  return found;
}

export function snapshotNotFound(volume: string, nameOrId: string): AurochsError {
  return new AurochsError(
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
