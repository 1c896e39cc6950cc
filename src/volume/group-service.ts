/**
 * Snapshots of several volumes at one moment: no write of any of them is applied from before the first is taken until
 * the last one is. So an application that waits for one volume before it writes to another finds an order in them
 * that it could also find after a power cut.
 */
import { isDeepStrictEqual } from 'node:util';

import type { Clock } from '../core/clock.js';
import { AurochsError } from '../core/errors.js';
import { newId } from '../core/ids.js';
import { KeyedMutex } from '../core/keyed-mutex.js';
import {
  GROUP_BARRIER_MS,
  SNAPSHOT_GROUP_VOLUMES_MAX,
  SNAPSHOT_GROUPS_MAX,
} from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import type { DomainEvents } from './events.js';
import type { SnapshotGroup, Volume } from './model.js';
import { checkSnapshotName } from './names.js';
import type { OpenVolume, OpenVolumes } from './open-volumes.js';
import type { NodeDevices, Store, Stored } from './ports.js';
import { groupNotFound, takenGroups } from './snapshot-groups.js';
import type { SnapshotService } from './snapshot-service.js';
import { holdStill } from './stillness.js';
import { markUnwanted, removeUnwanted } from './unwanted-snapshots.js';

export interface GroupServiceDeps {
  store: Store;
  open: OpenVolumes;
  snapshots: SnapshotService;
  devices: NodeDevices;
  events: DomainEvents;
  clock: Clock;
  log: Logger;
}

interface Participant {
  volume: Volume;
  open: OpenVolume;
  snapshotId: string;
}

export class GroupService {
  readonly #byName = new KeyedMutex();

  constructor(private readonly deps: GroupServiceDeps) {}

  list(): Promise<SnapshotGroup[]> {
    return takenGroups(this.deps.store);
  }

  async get(nameOrId: string): Promise<SnapshotGroup> {
    const found = (await this.list()).find(({ id, name }) => id === nameOrId || name === nameOrId);
    if (found === undefined) throw groupNotFound(nameOrId);
    return found;
  }

  /** All or nothing. The same again answers the group there is. */
  async create(name: string, volumes: readonly string[]): Promise<SnapshotGroup> {
    checkSnapshotName(name);
    checkVolumes(name, volumes);
    return this.#byName.run(name, async () => {
      const before = await this.deps.store.get('snapshotGroup', name);
      if (before?.value.state === 'taken') return this.#sameOrRefused(before.value, volumes);
      if (before !== null) await this.#takeBack(before);
      const { items } = await this.deps.store.list('snapshotGroup');
      if (items.length >= SNAPSHOT_GROUPS_MAX) {
        throw new AurochsError(
          'LIMIT_EXCEEDED',
          `there are ${SNAPSHOT_GROUPS_MAX} snapshot groups already`,
        );
      }
      return this.deps.open.exclusiveOfAll(volumes, () => this.#take(name, volumes));
    });
  }

  /** Every snapshot of it, then itself. What is gone is skipped; a volume that cannot be asked ends it. */
  async delete(nameOrId: string): Promise<void> {
    const { id, name } = await this.get(nameOrId);
    await this.#byName.run(name, async () => {
      const stored = await this.deps.store.get('snapshotGroup', name);
      // The name may be another group's by now.
      if (stored === null || stored.value.id !== id) throw groupNotFound(nameOrId);
      for (const member of stored.value.members) {
        await this.deps.snapshots.deleteMember(member);
      }
      await this.deps.store.delete('snapshotGroup', name, stored.revision);
      this.deps.log.info('snapshot group deleted', { group: name });
    });
  }

  /** At a start: what a crash has left half taken. */
  async removeUnfinished(): Promise<void> {
    const { items } = await this.deps.store.list('snapshotGroup');
    for (const item of items) if (item.value.state === 'taking') await this.#takeBack(item);
  }

  /** REQUIRES: exclusive of all volumes. */
  async #take(name: string, volumes: readonly string[]): Promise<SnapshotGroup> {
    const { store, clock, log, events } = this.deps;
    const participants: Participant[] = [];
    for (const each of volumes) participants.push(await this.#participant(name, each));
    const stored = await store.create('snapshotGroup', name, {
      id: newId(),
      name,
      createdUnixMs: clock.nowUnixMs(),
      state: 'taking',
      members: participants.map(({ volume, snapshotId }) => ({
        volumeId: volume.id,
        volume: volume.name,
        snapshotId,
        sizeBytes: volume.sizeBytes,
      })),
    });
    try {
      await this.#takeSnapshots(stored.value, participants);
    } catch (error) {
      await this.#takeBack(stored);
      await this.#removeNow(participants);
      throw error;
    }
    const taken: SnapshotGroup = { ...stored.value, state: 'taken' };
    const { value } = await store.update('snapshotGroup', name, taken, stored.revision);
    for (const { volume, snapshotId: snapshot } of participants) {
      events.emit({ type: 'snapshot', volume: volume.name, change: 'created', snapshot });
    }
    log.info('snapshot group created', { group: name, volumes: volumes.length });
    return value;
  }

  /** By ids: a volume that was deleted and made again is another one, of which the group has nothing. */
  async #sameOrRefused(group: SnapshotGroup, volumes: readonly string[]): Promise<SnapshotGroup> {
    const now = await Promise.all(volumes.map((name) => this.deps.store.get('volume', name)));
    const ids = now.map((stored) => stored?.value.id ?? '');
    const has = group.members.map(({ volumeId }) => volumeId);
    if (isDeepStrictEqual(has.sort(), ids.sort())) return group;
    const names = group.members.map(({ volume }) => volume).join(', ');
    throw new AurochsError(
      'ALREADY_EXISTS',
      `there is a snapshot group ${JSON.stringify(group.name)} already, of ${names} as they were at its time`,
      'Choose another name.',
    );
  }

  async #participant(group: string, name: string): Promise<Participant> {
    const { open: volumes } = this.deps;
    const { volume, open } = await volumes.forWork(name);
    if (volume.unwanted.length > 0) await removeUnwanted(this.deps, volume, open);
    const { snapshots } = await volumes.describe(open);
    if (snapshots.some((each) => each.name === group && !each.removing)) {
      throw new AurochsError(
        'ALREADY_EXISTS',
        `volume ${name} has a snapshot ${JSON.stringify(group)} already`,
        'Snapshots of a group are named as the group: choose another name.',
      );
    }
    return { volume, open, snapshotId: newId() };
  }

  async #takeSnapshots(group: SnapshotGroup, participants: readonly Participant[]): Promise<void> {
    const thaws = await Promise.all(participants.map(({ volume }) => holdStill(this.deps, volume)));
    const releases: (() => Promise<boolean>)[] = [];
    let held: boolean[] = [];
    try {
      // A hold begins with a flush: one that is let go at once leaves little to flush while the others stand still.
      await allSettled(participants, async ({ open }) => {
        const release = await open.engine.holdWrites(GROUP_BARRIER_MS);
        await release();
      });
      await allSettled(participants, async ({ open }) => {
        releases.push(await open.engine.holdWrites(GROUP_BARRIER_MS));
      });
      await allSettled(participants, ({ open, snapshotId }) =>
        open.engine.takeSnapshot(snapshotId, group.name, group.createdUnixMs),
      );
    } finally {
      // A volume that cannot say it held them may not have.
      held = await Promise.all(releases.map((release) => release().catch(() => false)));
      await Promise.all(thaws.map((thaw) => thaw()));
    }
    if (held.includes(false)) {
      throw new AurochsError(
        'UNAVAILABLE',
        `snapshot group ${group.name}: writes could not be held back for as long as its snapshots took`,
        'Its snapshots would not be of one moment and are removed. Try again, or with fewer volumes.',
      );
    }
  }

  async #removeNow(participants: readonly Participant[]): Promise<void> {
    for (const { volume, open, snapshotId } of participants) {
      try {
        await removeUnwanted(this.deps, { ...volume, unwanted: [snapshotId] }, open);
      } catch (error) {
        // The reconciler goes on with it; the user hears why there is no group.
        const fields = { volume: volume.name, error: String(error) };
        this.deps.log.warn('a snapshot of a group that failed is not removed yet', fields);
      }
    }
  }

  async #takeBack(stored: Stored<'snapshotGroup'>): Promise<void> {
    for (const member of stored.value.members) await markUnwanted(this.deps.store, member);
    await this.deps.store.delete('snapshotGroup', stored.key, stored.revision);
    this.deps.log.info('snapshot group taken back', { group: stored.key });
  }
}

function checkVolumes(group: string, volumes: readonly string[]): void {
  const count = volumes.length;
  if (count >= 1 && count <= SNAPSHOT_GROUP_VOLUMES_MAX && new Set(volumes).size === count) return;
  throw new AurochsError(
    'INVALID_ARGUMENT',
    `snapshot group ${group}: ${count === new Set(volumes).size ? `${count} volumes` : 'a volume is named twice'}`,
    `Name 1 to ${SNAPSHOT_GROUP_VOLUMES_MAX} volumes, each once.`,
  );
}

/** Waits for all, also when one fails: nothing is under way any more when the first failure is thrown. */
async function allSettled<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const results = await Promise.allSettled(items.map(work));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
