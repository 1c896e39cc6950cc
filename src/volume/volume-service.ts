/**
 * What a user does with volumes. A use case writes the intent to the store; the reconciler carries it
 * out; the use case waits until that is observed and reports the problem if it cannot be done. An
 * intent that failed for its user is taken back, so that nothing half-made is left behind.
 */
import { isDeepStrictEqual } from 'node:util';

import type { Clock } from '../core/clock.js';
import { AurochsError } from '../core/errors.js';
import { newId, shortId } from '../core/ids.js';
import {
  USE_CASE_DEADLINE_MS,
  VOLUMES_MAX,
  VOLUME_BYTES_MAX,
  VOLUME_BYTES_MIN,
  VOLUME_BYTES_MULTIPLE,
} from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import { formatSizeExact } from '../core/units.js';
import type { DiskService } from './disk-service.js';
import {
  exportAddresses,
  FRONTENDS,
  iscsiAccess,
  refusalToExport,
  type ListenAddresses,
} from './exports.js';
import {
  type ChapSettings,
  type Disk,
  type ExportAddress,
  formOf,
  type Frontend,
  PLAIN_FORM,
  type Problem,
  sameForm,
  type UnitForm,
  type Volume,
} from './model.js';
import { checkChap, checkInitiators, checkVolumeName, volumeOfExport } from './names.js';
import { onlyReplica, volumeNotFound, withoutFailure, type OpenVolumes } from './open-volumes.js';
import type { Engine, EngineSession, Store, Stored } from './ports.js';
import { changeVolume, waitForVolume, type WaitOptions } from './waiting.js';

export interface VolumeServiceDeps {
  store: Store;
  engine: Engine;
  open: OpenVolumes;
  disks: DiskService;
  listen: ListenAddresses;
  nodeId: string;
  clock: Clock;
  log: Logger;
  deadlineMs?: number;
}

export interface CreateVolume {
  name: string;
  sizeBytes: bigint;
  disk?: string;
  chap?: ChapSettings;
  initiators?: string[];
}

export interface AttachVolume extends Partial<UnitForm> {
  frontends?: Frontend[];
}

/** Who may log in over iSCSI; what is absent stays. */
export interface VolumeAccess {
  chap?: ChapSettings | null;
  initiators?: string[];
}

export class VolumeService {
  constructor(private readonly deps: VolumeServiceDeps) {}

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

  async create(request: CreateVolume): Promise<Volume> {
    checkVolumeName(request.name);
    if (request.chap !== undefined) checkChap(request.chap);
    checkInitiators(request.initiators ?? []);
    const sizeBytes = usableSize(request.sizeBytes);
    const disk = await this.deps.disks.choose(request.disk);
    checkFitsDisk(request.name, sizeBytes, disk);
    const { items } = await this.deps.store.list('volume');
    if (items.length >= VOLUMES_MAX) {
      throw new AurochsError('LIMIT_EXCEEDED', `there are ${VOLUMES_MAX} volumes already`);
    }

    const stored = await this.#createRecord(request, sizeBytes, disk);
    this.deps.log.info('volume asked for', { volume: stored.key, sizeBytes: String(sizeBytes) });
    const seen = await waitForVolume(
      this.deps.store,
      stored,
      (volume) => volume === null || volume.state !== 'creating' || volume.problem !== null,
      this.#waiting('is being created'),
    );
    if (seen !== null && seen.state !== 'creating') return seen;
    throw await this.#undoCreate(request.name, seen);
  }

  async attach(name: string, request: AttachVolume = {}): Promise<Volume> {
    const frontends = request.frontends ?? [...FRONTENDS];
    if (frontends.length === 0) {
      throw new AurochsError(
        'INVALID_ARGUMENT',
        `volume ${name}: no frontend to attach it with`,
        'Name iscsi, nbd or both.',
      );
    }
    let wasAttached = false;
    const stored = await changeVolume(this.deps.store, name, (volume) => {
      refuseIfDeleted(volume);
      const before = volume.desired.attached ? formOf(volume.desired) : PLAIN_FORM;
      const form = formOf({ ...before, ...request });
      const offered = request.frontends ?? this.#allUsable(volume);
      for (const frontend of offered) {
        const refusal = refusalToExport(volume, frontend, this.deps.listen);
        if (refusal !== null) throw refusal;
      }
      wasAttached = volume.desired.attached;
      if (wasAttached && !sameForm(volume.desired, form)) {
        throw new AurochsError(
          'FAILED_PRECONDITION',
          `volume ${name} is attached ${formInWords(volume.desired)}`,
          'Detach it first.',
        );
      }
      const desired = { ...volume.desired, ...form, attached: true, frontends: [...offered] };
      return { ...volume, desired, problem: lastingProblem(volume) };
    });
    const seen = await waitForVolume(
      this.deps.store,
      stored,
      (volume) =>
        volume === null ||
        !volume.desired.attached ||
        volume.problem !== null ||
        (volume.state === 'attached' && this.#offersExactly(volume)),
      this.#waiting('is being attached'),
    );
    if (seen === null) throw volumeNotFound(name);
    if (seen.problem === null && seen.desired.attached) return seen;
    if (!wasAttached) await this.#undoAttach(name);
    throw problemOf(seen, 'could not be attached');
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
    const seen = await waitForVolume(
      this.deps.store,
      stored,
      (volume) => volume === null || volume.problem !== null || this.#asksAsWanted(volume),
      this.#waiting('is being told who may log in'),
    );
    if (seen === null) throw volumeNotFound(name);
    if (!this.#asksAsWanted(seen)) throw problemOf(seen, 'has not been told who may log in yet');
    return seen;
  }

  /** BUSY while sessions are open, unless forced. */
  async detach(name: string, force = false): Promise<Volume> {
    if (!force) this.#refuseIfInUse(name);
    const stored = await changeVolume(this.deps.store, name, (volume) => {
      const desired = { ...volume.desired, attached: false };
      if (volume.desired.attached) return { ...volume, desired, problem: null };
      // Its replica failed while it was detached: there is no state to leave, but a loss to accept.
      if (volume.state === 'detached' && onlyReplica(volume).failed !== null) {
        return { ...withoutFailure(volume), desired, problem: null };
      }
      return { ...volume, desired };
    });
    const seen = await waitForVolume(
      this.deps.store,
      stored,
      (volume) => volume === null || isClosed(volume),
      this.#waiting('is being detached'),
    );
    if (seen === null) throw volumeNotFound(name);
    return seen;
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
    const seen = await waitForVolume(
      this.deps.store,
      stored,
      (volume) => volume === null || volume.sizeBytes >= sizeBytes || volume.problem !== null,
      this.#waiting('is being expanded'),
    );
    if (seen === null) throw volumeNotFound(name);
    if (seen.sizeBytes >= sizeBytes) return seen;
    await changeVolume(this.deps.store, name, (volume) => ({
      ...volume,
      desired: { ...volume.desired, sizeBytes: volume.sizeBytes },
    }));
    throw problemOf(seen, 'could not be expanded');
  }

  /** FAILED_PRECONDITION while it is attached. */
  async delete(name: string): Promise<void> {
    const stored = await changeVolume(this.deps.store, name, (volume) => {
      if (volume.desired.attached || !isClosed(volume)) {
        throw new AurochsError(
          'FAILED_PRECONDITION',
          `volume ${name} is ${volume.state === 'detached' ? 'being attached' : volume.state}`,
          `Detach it first: aurochs volume detach ${name}`,
        );
      }
      return { ...volume, desired: { ...volume.desired, deleted: true }, problem: null };
    });
    this.deps.log.info('volume deletion asked for', { volume: name, volumeId: stored.value.id });
    const seen = await waitForVolume(
      this.deps.store,
      stored,
      (volume) => volume === null || volume.problem !== null,
      this.#waiting('is being deleted'),
    );
    if (seen !== null) throw problemOf(seen, 'could not be deleted yet');
  }

  sessions(): (EngineSession & { volume: string })[] {
    return this.deps.engine
      .sessions()
      .map((session) => ({ ...session, volume: volumeOfExport(session.export) }));
  }

  #waiting(what: string): WaitOptions {
    return {
      clock: this.deps.clock,
      deadlineMs: this.deps.deadlineMs ?? USE_CASE_DEADLINE_MS,
      what,
    };
  }

  #createRecord(request: CreateVolume, sizeBytes: bigint, disk: Disk): Promise<Stored<'volume'>> {
    const replicaId = newId();
    const volume: Volume = {
      id: newId(),
      name: request.name,
      sizeBytes,
      createdUnixMs: this.deps.clock.nowUnixMs(),
      desired: { ...PLAIN_FORM, attached: false, frontends: [], sizeBytes, deleted: false },
      chap: request.chap ?? null,
      initiators: request.initiators ?? [],
      epoch: 0n,
      replicas: [
        {
          id: replicaId,
          nodeId: this.deps.nodeId,
          diskId: disk.id,
          directory: `${request.name}-${shortId(replicaId)}`,
          failed: null,
        },
      ],
      merging: false,
      state: 'creating',
      robustness: 'unknown',
      problem: null,
    };
    return this.deps.store.create('volume', request.name, volume);
  }

  async #undoCreate(name: string, seen: Volume | null): Promise<AurochsError> {
    if (seen === null) {
      return new AurochsError('ABORTED', `volume ${name} was deleted while it was being created`);
    }
    const failure = problemOf(seen, 'could not be created');
    const stored = await changeVolume(this.deps.store, name, (volume) => ({
      ...volume,
      desired: { ...volume.desired, deleted: true },
      problem: null,
    }));
    await this.#waitForUndo(stored, (volume) => volume === null || volume.problem !== null);
    return failure;
  }

  async #undoAttach(name: string): Promise<void> {
    const stored = await changeVolume(this.deps.store, name, (volume) => ({
      ...volume,
      desired: { ...volume.desired, attached: false },
    }));
    await this.#waitForUndo(stored, (volume) => volume === null || isClosed(volume));
  }

  /** The user hears of the failure, not of what went wrong while it was cleaned up; the log has that. */
  async #waitForUndo(
    stored: Stored<'volume'>,
    done: (volume: Volume | null) => boolean,
  ): Promise<void> {
    try {
      await waitForVolume(this.deps.store, stored, done, this.#waiting('is being cleaned up'));
    } catch (error) {
      const fields = { volume: stored.key, error: String(error) };
      this.deps.log.warn('undoing what failed is not finished', fields);
    }
  }

  /** Without a wish: every frontend that this agent offers and that the volume may use. */
  #allUsable(volume: Volume): readonly Frontend[] {
    const usable = FRONTENDS.filter(
      (frontend) => refusalToExport(volume, frontend, this.deps.listen) === null,
    );
    return usable.length > 0 ? usable : FRONTENDS; // All refused: the refusal says why.
  }

  #offersExactly(volume: Volume): boolean {
    const offered = this.deps.open.get(volume)?.offered;
    return (
      offered !== undefined &&
      FRONTENDS.every((each) => offered.has(each) === volume.desired.frontends.includes(each))
    );
  }

  #asksAsWanted(volume: Volume): boolean {
    const access = this.deps.open.get(volume)?.access;
    return !offersIscsi(volume) || isDeepStrictEqual(access, iscsiAccess(volume));
  }

  #refuseIfInUse(name: string): void {
    const sessions = this.sessions().filter((session) => session.volume === name);
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
function isClosed(volume: Volume): boolean {
  return volume.state === 'detached' || volume.state === 'creating' || volume.state === 'deleting';
}

function offersIscsi(volume: Volume): boolean {
  return volume.desired.attached && volume.desired.frontends.includes('iscsi');
}

function formInWords({ readOnly, removable, provisioning }: UnitForm): string {
  const words = [readOnly ? 'read-only' : 'for writing'];
  if (removable) words.push('removable');
  if (provisioning === 'full') words.push('fully provisioned');
  return words.join(', ');
}

/** A new wish clears the last problem, unless the replica lost data: that lasts until a detach. */
function lastingProblem(volume: Volume): Problem | null {
  return onlyReplica(volume).failed === null ? null : volume.problem;
}

function refuseIfDeleted(volume: Volume): void {
  if (!volume.desired.deleted) return;
  throw new AurochsError('FAILED_PRECONDITION', `volume ${volume.name} is being deleted`);
}

function refuseIfCreating(volume: Volume): void {
  if (volume.state !== 'creating') return;
  throw new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${volume.name} is still being created`,
    'Try again in a moment.',
  );
}

/** Rounded up to whole blocks; OUT_OF_RANGE beyond what a volume may have. */
function usableSize(bytes: bigint): bigint {
  const rounded =
    ((bytes + VOLUME_BYTES_MULTIPLE - 1n) / VOLUME_BYTES_MULTIPLE) * VOLUME_BYTES_MULTIPLE;
  if (rounded >= VOLUME_BYTES_MIN && rounded <= VOLUME_BYTES_MAX) return rounded;
  throw new AurochsError(
    'OUT_OF_RANGE',
    `a volume of ${formatSizeExact(bytes)} is out of range`,
    `A volume has ${formatSizeExact(VOLUME_BYTES_MIN)} to ${formatSizeExact(VOLUME_BYTES_MAX)}.`,
  );
}

function checkFitsDisk(name: string, sizeBytes: bigint, disk: Disk): void {
  if (sizeBytes <= disk.fileBytesMax) return;
  throw new AurochsError(
    'OUT_OF_RANGE',
    `volume ${name}: ${formatSizeExact(sizeBytes)} is more than a file on disk ${disk.path} (${disk.fileSystem}) can hold`,
    `The largest volume there has ${formatSizeExact(disk.fileBytesMax)}. Use a smaller size or a disk with XFS.`,
  );
}

function problemOf(volume: Volume, what: string): AurochsError {
  const { problem } = volume;
  if (problem === null) {
    return new AurochsError('ABORTED', `volume ${volume.name} ${what}: somebody else changed it`);
  }
  return new AurochsError(problem.code, problem.message, problem.hint);
}
