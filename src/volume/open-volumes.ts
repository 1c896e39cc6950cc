/**
 * The volumes whose replica this agent has open, and the only place that opens and closes one.
 *
 * Whoever works on a volume does it inside `exclusive`, so that no step of the reconciler meets a
 * snapshot half-way; programs on its device run under NodeUse instead, which is taken before. Rule W1: the epoch is raised in the store, by compare-and-swap, before every
 * opening; an engine that was overtaken can then never write.
 */
import type { Clock } from '../core/clock.js';
import { AurochsError, hasCode } from '../core/errors.js';
import { invariant } from '../core/invariant.js';
import { KeyedMutex } from '../core/keyed-mutex.js';
import { EXCLUSIVE_OF_ALL_WAIT_MS } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import { copyRests } from './copy-problem.js';
import type { DomainEvents } from './events.js';
import {
  type Disk,
  formOf,
  type Frontend,
  type Problem,
  type ReplicaPlace,
  type UnitForm,
  type Volume,
} from './model.js';
import { volumeOfExport } from './names.js';
import type {
  DiskDirectories,
  Engine,
  EngineEvent,
  EngineVolume,
  IscsiAccess,
  ReplicaDescription,
  Store,
  Stored,
} from './ports.js';

/** Attach: to be exported. Maintenance: for a snapshot or a merge, while detached. */
export type OpenPurpose = 'attach' | 'maintenance';

/**
 * What this process knows of the device: nothing since the volume was opened; that it was sound, but may no longer
 * be; that it is sound.
 */
export type DeviceKnowledge = 'unknown' | 'doubted' | 'sound';

export interface OpenVolume {
  readonly engine: EngineVolume;
  readonly volumeId: string;
  readonly epoch: bigint;
  readonly purpose: OpenPurpose;
  readonly form: UnitForm;
  readonly offered: Set<Frontend>;
  /** What the iSCSI export was last told about who may log in; null before there was one. */
  access: IscsiAccess | null;
  device: DeviceKnowledge;
  /** Whether the store has been written since `offered` changed, so that whoever waits hears of it. */
  announced: boolean;
  /** Why the replica lost data (D4); null while it is whole. */
  failed: string | null;
  /** Why the last merge stopped; null while none did. */
  mergeError: string | null;
  /** Share of each running merge that is done, by snapshot id. */
  readonly mergeShares: Map<string, number>;
  /** How many copies read from it: it is kept open for them. */
  copiedFrom: number;
  lastUsedUnixMs: number;
}

export interface OpenVolumesDeps {
  store: Store;
  engine: Engine;
  directories: DiskDirectories;
  events: DomainEvents;
  clock: Clock;
  log: Logger;
}

export class OpenVolumes {
  readonly #open = new Map<string, OpenVolume>(); // By volume name.
  readonly #claimed = new Map<string, bigint>(); // Epochs this process raised and has not closed.
  readonly #described = new Map<string, ReplicaDescription>(); // By volume id; what was last seen.
  readonly #mutex = new KeyedMutex();
  readonly #unsubscribe: () => void;
  /** Set by the reconciler: the volume needs a look. */
  onChange: (volume: string) => void = () => {};

  constructor(private readonly deps: OpenVolumesDeps) {
    this.#unsubscribe = deps.engine.subscribe((event) => this.#onEngineEvent(event));
  }

  exclusive<T>(volume: string, task: () => Promise<T>): Promise<T> {
    return this.#mutex.run(volume, task);
  }

  /**
   * `exclusive` of several; in one order, so that nobody waits for somebody who waits for him. BUSY names the one that
   * somebody else has for too long; what was had by then is let go.
   */
  exclusiveOfAll<T>(volumes: readonly string[], task: () => Promise<T>): Promise<T> {
    const deadlineUnixMs = this.deps.clock.nowUnixMs() + EXCLUSIVE_OF_ALL_WAIT_MS;
    return [...volumes]
      .sort()
      .reduceRight<() => Promise<T>>(
        (inner, volume) => () => this.#exclusiveBefore(deadlineUnixMs, volume, inner),
        task,
      )();
  }

  #exclusiveBefore<T>(deadlineUnixMs: number, volume: string, task: () => Promise<T>): Promise<T> {
    const { clock } = this.deps;
    return new Promise((resolve, reject) => {
      let isLate = false;
      const timer = clock.after(Math.max(0, deadlineUnixMs - clock.nowUnixMs()), () => {
        isLate = true;
        reject(keptBusy(volume));
      });
      const begin = async (): Promise<void> => {
        if (isLate) return;
        timer.cancel();
        await task().then(resolve, reject);
      };
      this.exclusive(volume, begin).catch(reject);
    });
  }

  get(volume: Volume): OpenVolume | null {
    const open = this.#open.get(volume.name);
    return open?.volumeId === volume.id ? open : null; // Else `volume` is of an earlier life of the name.
  }

  /** How many volumes are offered to initiators now. */
  get servedCount(): number {
    return [...this.#open.values()].filter(({ offered }) => offered.size > 0).length;
  }

  /** Whether this process raised the volume's epoch for an opening that has not ended. */
  hasClaimed(volume: Volume): boolean {
    return this.#claimed.get(volume.id) === volume.epoch;
  }

  /** Raises the epoch, together with what `change` does. CONFLICT if somebody else changed the volume. */
  async claim(
    stored: Stored<'volume'>,
    change: (volume: Volume) => Volume = (volume) => volume,
  ): Promise<Stored<'volume'>> {
    const epoch = stored.value.epoch + 1n;
    const next = { ...change(stored.value), epoch };
    const written = await this.deps.store.update('volume', stored.key, next, stored.revision);
    this.#claimed.set(next.id, epoch);
    return written;
  }

  /** REQUIRES: exclusive; the epoch is claimed; not open. */
  async open(volume: Volume, purpose: OpenPurpose): Promise<OpenVolume> {
    invariant(this.hasClaimed(volume), `${volume.name}: opened without a claim of its epoch`);
    invariant(!this.#open.has(volume.name), `${volume.name}: opened twice`);
    const place = onlyReplica(volume);
    const disk = await this.disk(place.diskId);
    const engine = await this.deps.engine.openVolume(disk.path, place.directory, volume.epoch);
    try {
      await this.#verify(volume, place, engine);
    } catch (error) {
      await engine.close();
      throw error;
    }
    const open: OpenVolume = {
      engine,
      volumeId: volume.id,
      epoch: volume.epoch,
      purpose,
      form: formOf(volume.desired),
      offered: new Set(),
      access: null,
      device: 'unknown',
      announced: false,
      failed: null,
      mergeError: null,
      mergeShares: new Map(),
      copiedFrom: 0,
      lastUsedUnixMs: this.deps.clock.nowUnixMs(),
    };
    this.#open.set(volume.name, open);
    return open;
  }

  /** REQUIRES: exclusive. Closing again needs a new claim to open. */
  async close(volume: Volume): Promise<void> {
    const open = this.get(volume);
    this.#claimed.delete(volume.id);
    if (open === null) return;
    // Whatever close says, the handle is of no use any more.
    this.#open.delete(volume.name);
    await open.engine.close();
  }

  /** REQUIRES: exclusive. The open volume, opened for maintenance if need be. */
  async forWork(name: string): Promise<{ volume: Volume; open: OpenVolume }> {
    const stored = await this.deps.store.get('volume', name);
    if (stored === null) throw volumeNotFound(name);
    const live = this.get(stored.value);
    if (live !== null) {
      live.lastUsedUnixMs = this.deps.clock.nowUnixMs();
      return { volume: stored.value, open: live };
    }
    const volume = stored.value;
    if (
      volume.state !== 'detached' ||
      volume.desired.attached ||
      volume.desired.deleted ||
      onlyReplica(volume).failed !== null
    ) {
      throw new AurochsError(
        volume.problem?.code ?? 'UNAVAILABLE',
        volume.problem?.message ?? `volume ${name} is ${volume.state}; it is not open yet`,
        volume.problem?.hint ?? 'Try again in a moment; "aurochs volume show" has its state.',
      );
    }
    const claimed = await this.#claimRetrying(stored);
    const open = await this.open(claimed.value, 'maintenance');
    this.onChange(name); // The reconciler closes it when nobody needs it any more.
    return { volume: claimed.value, open };
  }

  /** Asks the engine and remembers the answer. */
  async describe(open: OpenVolume): Promise<ReplicaDescription> {
    const description = await open.engine.describe();
    this.#described.set(open.volumeId, description);
    return description;
  }

  /** What was last seen of the volume; null if it has not been open since the agent started. */
  lastDescription(volume: Volume): ReplicaDescription | null {
    return this.#described.get(volume.id) ?? null;
  }

  /** Asks every open engine for what its events should have told, in case one was lost; has devices looked at. */
  async refreshAll(): Promise<void> {
    for (const [name, open] of [...this.#open]) {
      this.#doubtDevice(name);
      try {
        const { failed } = await this.describe(open);
        if (!failed || open.failed !== null) continue;
        open.failed = 'its engine says that data was lost';
        this.onChange(name);
      } catch (error) {
        // Most likely it is being closed; what is wrong with it comes up where it is used.
        this.deps.log.debug('a volume was not asked', { volume: name, error: String(error) });
      }
    }
  }

  /** The disk, once its directory is known to be the disk and not, say, an empty mount point. */
  async disk(diskId: string): Promise<Disk> {
    const stored = await this.deps.store.get('disk', diskId);
    if (stored === null) {
      throw new AurochsError('NOT_FOUND', `disk ${diskId} is not known to this agent`);
    }
    await checkIdentity(this.deps.directories, stored.value);
    return stored.value;
  }

  /** Forgets a volume that is deleted. */
  forget(volume: Volume): void {
    this.#described.delete(volume.id);
    this.#claimed.delete(volume.id);
  }

  /**
   * Hears of nothing any more. What is open stays so until the engine closes, which ends the listeners first: an
   * initiator must find a closed port, which it tries again, and never a portal that does not know its target.
   */
  stop(): void {
    this.#unsubscribe();
  }

  async #claimRetrying(stored: Stored<'volume'>): Promise<Stored<'volume'>> {
    try {
      return await this.claim(stored);
    } catch (error) {
      if (!hasCode(error, 'CONFLICT')) throw error;
      throw new AurochsError(
        'BUSY',
        `volume ${stored.key} was changed at the same moment`,
        'Try again.',
        { cause: error },
      );
    }
  }

  /** A directory that was copied from another volume, or restored from an old copy, is not ours. */
  async #verify(volume: Volume, place: ReplicaPlace, engine: EngineVolume): Promise<void> {
    const description = await engine.describe();
    const wrong =
      description.volumeId !== volume.id
        ? `belongs to volume ${description.volumeId}, not to ${volume.id}`
        : description.replicaId !== place.id
          ? `is replica ${description.replicaId}, not ${place.id}`
          : description.sizeBytes < volume.sizeBytes
            ? `has ${description.sizeBytes} bytes, the volume ${volume.sizeBytes}`
            : null;
    if (wrong !== null) {
      throw new AurochsError(
        'CORRUPTION',
        `volume ${volume.name}: directory ${place.directory} ${wrong}`,
        'Put the right directory back from its copy, or delete the volume.',
      );
    }
    this.#described.set(volume.id, description);
  }

  #nameOf(volumeId: string): string | null {
    for (const [name, open] of this.#open) if (open.volumeId === volumeId) return name;
    return null;
  }

  #doubtDevice(volume: string): void {
    const open = this.#open.get(volume);
    if (open?.device !== 'sound') return;
    open.device = 'doubted';
    this.onChange(volume);
  }

  /** The kernel's NBD client waits for somebody to connect it again; it goes on while it has one connection. */
  #onSessionClosed(name: string): void {
    const isUsed = this.deps.engine.sessions().some((session) => session.export === name);
    if (!isUsed) this.#doubtDevice(volumeOfExport(name));
  }

  #onEngineEvent(event: EngineEvent): void {
    const { events, log } = this.deps;
    switch (event.type) {
      case 'sessionOpened':
        events.emit(event);
        return;
      case 'sessionClosed':
        this.#onSessionClosed(event.session.export);
        events.emit(event);
        return;
      case 'copyProgress':
        return; // VolumeCopies hears it, which knows what is copied.
      case 'mergeProgress': {
        const volume = this.#nameOf(event.volumeId);
        if (volume === null) return;
        this.#open.get(volume)?.mergeShares.set(event.snapshotId, event.share);
        events.emit({
          type: 'mergeProgress',
          volume,
          snapshot: event.snapshotId,
          share: event.share,
        });
        return;
      }
      case 'mergeDone': {
        const volume = this.#nameOf(event.volumeId);
        if (volume === null) return;
        const { error, snapshotId: snapshot } = event;
        const open = this.#open.get(volume);
        open?.mergeShares.delete(snapshot);
        if (error !== null) {
          log.error('merging a removed snapshot stopped', { volume, snapshot, error });
          if (open !== undefined) open.mergeError = error;
        }
        events.emit({ type: 'mergeDone', volume, snapshot, error });
        this.onChange(volume);
        return;
      }
      case 'replicaFailed': {
        const volume = this.#nameOf(event.volumeId);
        if (volume === null) return;
        log.error('a replica lost data', { volume, error: event.message });
        const open = this.#open.get(volume);
        if (open !== undefined) open.failed = event.message;
        this.onChange(volume);
        return;
      }
    }
  }
}

export function onlyReplica(volume: Volume): ReplicaPlace {
  const [place] = volume.replicas;
  invariant(
    place !== undefined && volume.replicas.length === 1,
    `${volume.name}: has one replica, not ${volume.replicas.length}`,
  );
  return place;
}

/**
 * What is left of a problem after a new wish or a success: that the replica lost data lasts until a detach, and that a copy has
 * failed until the volume is deleted.
 */
export function lastingProblem(volume: Volume): Problem | null {
  return onlyReplica(volume).failed !== null || copyRests(volume) ? volume.problem : null;
}

/** Whoever detaches a failed replica accepts the loss of what was not flushed. */
export function withoutFailure(volume: Volume): Volume {
  return { ...volume, replicas: volume.replicas.map((place) => ({ ...place, failed: null })) };
}

function keptBusy(volume: string): AurochsError {
  return new AurochsError(
    'BUSY',
    `volume ${volume} is being worked on for longer than ${EXCLUSIVE_OF_ALL_WAIT_MS / 1000} s`,
    'Try again when that has ended; "aurochs volume show" has its state.',
  );
}

export function volumeNotFound(name: string): AurochsError {
  return new AurochsError(
    'NOT_FOUND',
    `there is no volume ${JSON.stringify(name)}`,
    '"aurochs volume ls" shows all.',
  );
}

/** UNAVAILABLE when the directory does not carry the disk's id. */
export async function checkIdentity(directories: DiskDirectories, disk: Disk): Promise<void> {
  const found = await directories.readIdentity(disk.path);
  if (found === disk.id) return;
  throw new AurochsError(
    'UNAVAILABLE',
    found === null
      ? `disk ${disk.path}: the directory does not hold the disk (no aurochs-disk.json)`
      : `disk ${disk.path}: the directory holds disk ${found}, not ${disk.id}`,
    'Mount the disk there; the agent looks again by itself.',
  );
}
