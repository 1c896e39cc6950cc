/**
 * What a user does with volumes. A use case writes the intent to the store; the reconciler carries it
 * out; the use case waits until that is observed and reports the problem if it cannot be done. An
 * intent that failed for its user is taken back, so that nothing half-made is left behind.
 */
import { isDeepStrictEqual } from 'node:util';

import type { Clock } from '../core/clock.js';
import { AurochsError, hasCode } from '../core/errors.js';
import { KeyedMutex } from '../core/keyed-mutex.js';
import type { Logger } from '../core/logger.js';
import { formatSizeExact } from '../core/units.js';
import { type AttachVolume, wishToAttach } from './attach-request.js';
import { isCopying } from './copy-problem.js';
import { refuseIfUsed, withoutOwn } from './device-use.js';
import type { DiskService } from './disk-service.js';
import {
  exportAddresses,
  FRONTENDS,
  iscsiAccess,
  refusalToExport,
  type ListenAddresses,
} from './exports.js';
import { changedLabels } from './labels.js';
import type { ChapSettings, ExportAddress, Publication, Volume } from './model.js';
import { checkChap, checkInitiators, volumeOfExport } from './names.js';
import type { NodeUse } from './node-use.js';
import {
  lastingProblem,
  onlyReplica,
  volumeNotFound,
  withoutFailure,
  type OpenVolumes,
} from './open-volumes.js';
import type { Engine, EngineSession, NodeDevices, Store, Stored } from './ports.js';
import type { VolumeCopies } from './volume-copies.js';
import { type CreateVolume, VolumeCreation } from './volume-creation.js';
import {
  problemOf,
  refuseIfCreating,
  refuseIfDeleted,
  refuseIfPublished,
} from './volume-refusals.js';
import { checkFitsDisk, usableSize } from './volume-size.js';
import { changeVolume, Waiter } from './waiting.js';

export interface VolumeServiceDeps {
  store: Store;
  engine: Engine;
  open: OpenVolumes;
  use: NodeUse;
  copies: VolumeCopies;
  devices: NodeDevices;
  disks: DiskService;
  listen: ListenAddresses;
  nodeId: string;
  clock: Clock;
  log: Logger;
  deadlineMs?: number;
  /** How long a creation waits for its copy. */
  copyWaitMs?: number;
}

/** Who may log in over iSCSI; what is absent stays. */
export interface VolumeAccess {
  chap?: ChapSettings | null;
  initiators?: string[];
}

export class VolumeService {
  readonly #waiter: Waiter;
  readonly #creation: VolumeCreation;
  readonly #attaching = new KeyedMutex(); // By volume name.

  constructor(private readonly deps: VolumeServiceDeps) {
    this.#waiter = new Waiter(deps);
    this.#creation = new VolumeCreation({ ...deps, waiter: this.#waiter });
  }

  async list(): Promise<Volume[]> {
    return (await this.deps.store.list('volume')).items.map((item) => item.value);
  }

  async get(name: string): Promise<Volume> {
    const stored = await this.deps.store.get('volume', name);
    if (stored === null) throw volumeNotFound(name);
    return stored.value;
  }

  /** How initiators reach the volume now; empty unless it is attached. */
  exports(volume: Volume): ExportAddress[] {
    const open = this.deps.open.get(volume);
    if (open === null || open.purpose !== 'attach') return [];
    return exportAddresses(volume.name, open.offered, this.deps.listen);
  }

  /** Taken on disk; null while the volume has not been open since the agent started. */
  allocatedBytes(volume: Volume): bigint | null {
    const description = this.deps.open.lastDescription(volume);
    if (description === null) return null;
    return description.snapshots.reduce(
      (sum, snapshot) => sum + snapshot.allocatedBytes,
      description.headAllocatedBytes,
    );
  }

  /** Looks at an open volume anew, for allocatedBytes; what was seen before stays if that fails. */
  async refresh(volume: Volume): Promise<void> {
    const open = this.deps.open.get(volume);
    if (open === null) return;
    try {
      await this.deps.open.describe(open);
    } catch (error) {
      // It is being closed, or its problem says what is wrong.
      this.deps.log.debug('a volume was not asked', { volume: volume.name, error: String(error) });
    }
  }

  /** Share copied, 0 to 1, of a volume that is being made of another; null of any other. */
  copyShare(volume: Volume): number | null {
    return this.deps.copies.share(volume);
  }

  create(request: CreateVolume): Promise<Volume> {
    return this.#creation.create(request);
  }

  /** What failed is undone: a volume that was attached before stays so, as it was. */
  attach(name: string, request: AttachVolume = {}): Promise<Volume> {
    return this.attachAs(name, request, ({ publications }) => publications);
  }

  /**
   * As attach, together with what `publish` makes of the publications. One at a time for each volume: what a failure goes
   * back to must not be the wish of another one that fails as well.
   */
  attachAs(
    name: string,
    request: AttachVolume,
    publish: (volume: Volume) => Publication[],
  ): Promise<Volume> {
    return this.#attaching.run(name, () => this.#attachAs(name, request, publish));
  }

  async #attachAs(
    name: string,
    request: AttachVolume,
    publish: (volume: Volume) => Publication[],
  ): Promise<Volume> {
    const before = await this.get(name);
    const stored = await changeVolume(this.deps.store, name, (volume) => {
      refuseIfDeleted(volume);
      refuseIfCreating(volume);
      const publications = publish(volume);
      const desired = wishToAttach(volume, request, this.deps.listen);
      return { ...volume, publications, desired, problem: lastingProblem(volume) };
    });
    const seen = await this.#waiter.wait(
      stored,
      'is being attached',
      (volume) =>
        volume === null ||
        !volume.desired.attached ||
        volume.problem !== null ||
        (volume.state === 'attached' && this.#offersExactly(volume) && this.#hasDevice(volume)),
    );
    if (seen === null) throw volumeNotFound(name);
    if (seen.problem === null && seen.desired.attached) return seen;
    const added = withoutThose(stored.value.publications, before.publications);
    await this.undoAttach(before, added);
    throw problemOf(seen, 'could not be attached');
  }

  /** Takes back what an attach has asked for since `before`, and waits for it. */
  async undoAttach(before: Volume, added: readonly Publication[] = []): Promise<void> {
    const { attached, frontends, device } = before.desired;
    const stored = await changeVolume(this.deps.store, before.name, (volume) => {
      if (volume.id !== before.id) return volume;
      const publications = withoutThose(volume.publications, added);
      const rest = { ...volume, publications };
      if (attached) {
        const desired = { ...volume.desired, attached, frontends, device };
        return { ...rest, desired, problem: lastingProblem(volume) };
      }
      // Somebody else has published it meanwhile and uses it as it is.
      if (publications.length > 0) return rest;
      // The wish for a device goes with the device.
      return { ...rest, desired: { ...volume.desired, attached } };
    });
    await this.#waiter.waitForUndo(stored, (volume) => {
      if (volume === null) return true;
      if (!attached) return volume.publications.length > 0 || isClosed(volume);
      if (volume.problem !== null) return true; // It could not be attached before, either.
      return this.#offersExactly(volume) && (device !== null || volume.device === null);
    });
  }

  /** For new logins: open sessions stay. Resolves when the export asks for it. */
  async setAccess(name: string, access: VolumeAccess): Promise<Volume> {
    if (access.chap !== undefined && access.chap !== null) checkChap(access.chap);
    if (access.initiators !== undefined) checkInitiators(access.initiators);
    const stored = await changeVolume(this.deps.store, name, (volume) => {
      refuseIfDeleted(volume);
      const next = { ...volume, ...access, problem: lastingProblem(volume) };
      if (offersIscsi(next)) {
        const refusal = refusalToExport(next, 'iscsi', this.deps.listen);
        if (refusal !== null) throw refusal;
      }
      return next;
    });
    const seen = await this.#waiter.wait(
      stored,
      'is being told who may log in',
      (volume) => volume === null || volume.problem !== null || this.#asksAsWanted(volume),
    );
    if (seen === null) throw volumeNotFound(name);
    if (!this.#asksAsWanted(seen)) throw problemOf(seen, 'has not been told who may log in yet');
    return seen;
  }

  /** BUSY while the device is used or worked on or sessions are open, FAILED_PRECONDITION while it is published, unless forced. */
  async detach(name: string, force = false): Promise<Volume> {
    const before = await this.get(name);
    if (!force) refuseIfPublished(before);
    return this.#detach(before, force, (volume) => {
      if (!force) refuseIfPublished(volume);
      return [];
    });
  }

  /** As detach, together with what `unpublish` makes of the publications. */
  async detachAs(name: string, unpublish: (volume: Volume) => Publication[]): Promise<Volume> {
    return this.#detach(await this.get(name), false, unpublish);
  }

  async #detach(
    before: Volume,
    force: boolean,
    unpublish: (volume: Volume) => Publication[],
  ): Promise<Volume> {
    const { name } = before;
    const stored = force
      ? await this.#forceDetach(name, unpublish)
      : await this.deps.use.takeAway(name, async () => {
          await this.#refuseIfInUse(before);
          return this.#wishDetached(name, unpublish);
        });
    const seen = await this.#waiter.wait(
      stored,
      'is being detached',
      (volume) => volume === null || isClosed(volume) || deviceIsInTheWay(volume),
    );
    if (seen === null) throw volumeNotFound(name);
    if (!deviceIsInTheWay(seen)) return seen;
    const { publications } = before;
    await changeVolume(this.deps.store, name, (volume) =>
      deviceIsInTheWay(volume)
        ? { ...volume, publications, desired: { ...volume.desired, attached: true }, problem: null }
        : volume,
    );
    throw problemOf(seen, 'could not be detached');
  }

  /** Null removes; what is absent stays. */
  async setLabels(name: string, changes: Readonly<Record<string, string | null>>): Promise<Volume> {
    const stored = await changeVolume(this.deps.store, name, (volume) => {
      refuseIfDeleted(volume);
      return { ...volume, labels: changedLabels(volume.labels, changes) };
    });
    return stored.value;
  }

  async expand(name: string, requestedBytes: bigint): Promise<Volume> {
    const sizeBytes = usableSize(requestedBytes);
    const before = await this.get(name);
    const disk = await this.deps.open.disk(onlyReplica(before).diskId);
    checkFitsDisk(name, sizeBytes, disk);
    const stored = await changeVolume(this.deps.store, name, (volume) => {
      refuseIfDeleted(volume);
      refuseIfCreating(volume);
      if (sizeBytes < volume.sizeBytes) {
        throw new AurochsError(
          'OUT_OF_RANGE',
          `volume ${name} has ${formatSizeExact(volume.sizeBytes)}; a volume cannot shrink to ${formatSizeExact(sizeBytes)}`,
          'Ask for more than it has now.',
        );
      }
      const desired = { ...volume.desired, sizeBytes };
      return { ...volume, desired, problem: lastingProblem(volume) };
    });
    const seen = await this.#waiter.wait(
      stored,
      'is being expanded',
      (volume) => volume === null || hasGrown(volume, sizeBytes) || volume.problem !== null,
    );
    if (seen === null) throw volumeNotFound(name);
    if (hasGrown(seen, sizeBytes)) return seen;
    if (seen.sizeBytes >= sizeBytes) throw problemOf(seen, 'has grown, but not its device');
    await changeVolume(this.deps.store, name, (volume) => ({
      ...volume,
      desired: { ...volume.desired, sizeBytes: volume.sizeBytes },
    }));
    throw problemOf(seen, 'could not be expanded');
  }

  /**
   * FAILED_PRECONDITION while it is attached, published or copied from; while it has snapshots, too, if `withSnapshots`
   * says so: else they go with it.
   */
  async delete(name: string, withSnapshots: 'delete' | 'refuse' = 'delete'): Promise<void> {
    // Exclusive, so that no copy or snapshot of it is asked for between the look and the wish.
    const { open, use } = this.deps;
    const stored = await use.takeAway(name, () =>
      open.exclusive(name, async () => {
        const volume = await this.get(name);
        refuseToDelete(volume);
        await this.#refuseIfCopied(volume);
        if (withSnapshots === 'refuse') await this.#refuseIfSnapshots(volume);
        return this.#wishDeleted(name);
      }),
    );
    this.deps.log.info('volume deletion asked for', { volume: name, volumeId: stored.value.id });
    const seen = await this.#waiter.wait(
      stored,
      'is being deleted',
      (volume) => volume === null || volume.problem !== null,
    );
    if (seen !== null) throw problemOf(seen, 'could not be deleted yet');
  }

  sessions(): (EngineSession & { volume: string })[] {
    return this.deps.engine
      .sessions()
      .map((session) => ({ ...session, volume: volumeOfExport(session.export) }));
  }

  #wishDeleted(name: string): Promise<Stored<'volume'>> {
    return changeVolume(this.deps.store, name, (volume) => {
      refuseToDelete(volume);
      return { ...volume, desired: { ...volume.desired, deleted: true }, problem: null };
    });
  }

  async #refuseIfCopied({ id, name }: Volume): Promise<void> {
    const copy = (await this.list()).find(
      (each) => each.source?.volumeId === id && isCopying(each),
    );
    if (copy === undefined) return;
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${name} is being copied to volume ${copy.name}`,
      `Wait until volume ${copy.name} is there, or delete that one first.`,
    );
  }

  async #refuseIfSnapshots({ name, state, desired, unwanted }: Volume): Promise<void> {
    if (state === 'creating' || desired.deleted) return;
    const { open } = this.deps;
    const live = await orNone(open.forWork(name));
    if (live === null) return; // Its replica is gone, and the snapshots with it.
    const { snapshots } = await open.describe(live.open);
    const kept = snapshots.filter(({ id, removing }) => !removing && !unwanted.includes(id));
    if (kept.length === 0) return;
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${name} has ${kept.length} snapshot(s)`,
      'Delete them first.',
    );
  }

  #offersExactly(volume: Volume): boolean {
    const offered = this.deps.open.get(volume)?.offered;
    return (
      offered !== undefined &&
      FRONTENDS.every((each) => offered.has(each) === volume.desired.frontends.includes(each))
    );
  }

  /** The device that is wanted, if one is, was seen since the volume was opened. */
  #hasDevice(volume: Volume): boolean {
    if (volume.desired.device === null) return true;
    return volume.device !== null && this.deps.open.get(volume)?.device !== 'unknown';
  }

  #asksAsWanted(volume: Volume): boolean {
    const access = this.deps.open.get(volume)?.access;
    return !offersIscsi(volume) || isDeepStrictEqual(access, iscsiAccess(volume));
  }

  #wishDetached(
    name: string,
    unpublish: (volume: Volume) => Publication[],
  ): Promise<Stored<'volume'>> {
    return changeVolume(this.deps.store, name, (current) => {
      const volume = { ...current, publications: unpublish(current) };
      const desired = { ...volume.desired, attached: false };
      if (volume.desired.attached) return { ...volume, desired, problem: null };
      // Its replica failed while it was detached: there is no state to leave, but a loss to accept.
      if (volume.state === 'detached' && onlyReplica(volume).failed !== null) {
        return { ...withoutFailure(volume), desired, problem: null };
      }
      return { ...volume, desired };
    });
  }

  /** The device first, whoever uses it: the reconciler, which may come later, never forces. */
  #forceDetach(
    name: string,
    unpublish: (volume: Volume) => Publication[],
  ): Promise<Stored<'volume'>> {
    return this.deps.open.exclusive(name, async () => {
      const volume = await this.get(name);
      if (wantsDevice(volume)) await this.deps.devices.detach(name, true);
      return this.#wishDetached(name, unpublish);
    });
  }

  async #refuseIfInUse(volume: Volume): Promise<void> {
    const { name } = volume;
    if (wantsDevice(volume)) refuseIfUsed(name, await this.deps.devices.users(name));
    const sessions = withoutOwn(
      this.sessions().filter((session) => session.volume === name),
      volume,
    );
    if (sessions.length === 0) return;
    const who = sessions
      .slice(0, 3)
      .map((session) => session.initiator || `an NBD client at ${session.address}`);
    throw new AurochsError(
      'BUSY',
      `volume ${name} is in use by ${sessions.length} session(s): ${who.join(', ')}`,
      'Unmount it and log the initiators out first, or force it; forcing cuts them off.',
    );
  }
}

/** Detached, or on its way to or from existence: nothing of it is open. */
function refuseToDelete(volume: Volume): void {
  refuseIfPublished(volume);
  if (!volume.desired.attached && isClosed(volume)) return;
  const { name, state } = volume;
  throw new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${name} is ${state === 'detached' ? 'being attached' : state}`,
    `Detach it first: aurochs volume detach ${name}`,
  );
}

function isClosed(volume: Volume): boolean {
  return volume.state === 'detached' || volume.state === 'creating' || volume.state === 'deleting';
}

async function orNone<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return null;
    throw error;
  }
}

/** The publications to other nodes than those. */
function withoutThose(
  publications: readonly Publication[],
  those: readonly Publication[],
): Publication[] {
  return publications.filter(({ nodeId }) => !those.some((each) => each.nodeId === nodeId));
}

function wantsDevice(volume: Volume): boolean {
  return volume.desired.device !== null || volume.device !== null;
}

/** The device goes before the volume is closed; until it has gone its volume can be used on. */
function deviceIsInTheWay(volume: Volume): boolean {
  return !volume.desired.attached && volume.problem !== null && wantsDevice(volume);
}

function hasGrown(volume: Volume, sizeBytes: bigint): boolean {
  return volume.sizeBytes >= sizeBytes && (volume.device?.sizeBytes ?? sizeBytes) >= sizeBytes;
}

function offersIscsi(volume: Volume): boolean {
  return volume.desired.attached && volume.desired.frontends.includes('iscsi');
}
