/**
 * The copies that this process makes of snapshots, as the data of new volumes.
 *
 * A copy takes as long as the disks take, so it runs beside the reconciler and holds neither volume's `exclusive` while data
 * moves: the reconciler starts it, hears of its end by `onChange`, and writes that down. While it runs it keeps its
 * source open. Nothing of it is remembered over a restart but the volume in state "creating": a replica that has its
 * name is whole, and without one the copy begins anew.
 */
import { AurochsError, hasCode, toAurochsError } from '../core/errors.js';
import { shortId } from '../core/ids.js';
import { invariant } from '../core/invariant.js';
import {
  COPIES_OF_VOLUME_PARALLEL,
  COPIES_PARALLEL,
  SNAPSHOT_NAME_CHARS_MAX,
} from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import type { Clock } from '../core/clock.js';
import { Slots } from '../core/slots.js';
import type { DomainEvents } from './events.js';
import type { Volume, VolumeSource } from './model.js';
import { onlyReplica, type OpenVolume, type OpenVolumes, volumeNotFound } from './open-volumes.js';
import type { DiskDirectories, Engine, NodeDevices } from './ports.js';
import { holdStill } from './stillness.js';

export interface VolumeCopiesDeps {
  engine: Engine;
  open: OpenVolumes;
  directories: DiskDirectories;
  devices: NodeDevices;
  events: DomainEvents;
  clock: Clock;
  log: Logger;
}

export type CopyPhase = 'none' | 'running' | 'cancelled' | 'ended';

interface Copy {
  readonly target: Volume;
  readonly source: VolumeSource;
  readonly cancelled: AbortController;
  readonly end: Promise<void>;
  phase: Exclude<CopyPhase, 'none'>;
  /** 0 to 1. */
  share: number;
  /** Why it ended without a replica. */
  error: AurochsError | null;
}

export class VolumeCopies {
  readonly #copies = new Map<string, Copy>(); // By id of the new volume.
  readonly #slots = new Slots(COPIES_PARALLEL, COPIES_OF_VOLUME_PARALLEL);
  readonly #unsubscribe: () => void;

  constructor(private readonly deps: VolumeCopiesDeps) {
    this.#unsubscribe = deps.engine.subscribe((event) => {
      if (event.type !== 'copyProgress') return;
      const copy = this.#copies.get(event.volumeId);
      if (copy === undefined) return;
      copy.share = event.share;
      deps.events.emit({ type: 'copyProgress', volume: copy.target.name, share: event.share });
    });
  }

  phase({ id }: Volume): CopyPhase {
    return this.#copies.get(id)?.phase ?? 'none';
  }

  /** Share done of the data of a volume that is being made of another; null of any other. */
  share({ id, state, source }: Volume): number | null {
    if (state !== 'creating' || source === null) return null;
    return this.#copies.get(id)?.share ?? 0;
  }

  /** Returns at once; `onChange` of the open volumes tells of the end. */
  start(target: Volume): void {
    const { source } = target;
    invariant(source !== null, `${target.name}: has a source`);
    invariant(!this.#copies.has(target.id), `${target.name}: is copied once at a time`);
    const copy: Copy = {
      target,
      source,
      cancelled: new AbortController(),
      // In a later turn, so that the copy is known when it runs.
      end: Promise.resolve().then(() => this.#run(copy)),
      phase: 'running',
      share: 0,
      error: null,
    };
    this.#copies.set(target.id, copy);
  }

  /** Why the copy that has ended made no replica; null if it did. */
  failure({ id, name }: Volume): AurochsError | null {
    const copy = this.#copies.get(id);
    invariant(copy?.phase === 'ended', `${name}: its copy has ended`);
    return copy.error;
  }

  /** Forgets a copy that has ended, if there was one. */
  forget({ id, name }: Volume): void {
    const phase = this.#copies.get(id)?.phase ?? 'ended';
    invariant(phase === 'ended', `${name}: its copy has ended`);
    this.#copies.delete(id);
  }

  /** Returns at once; the copy ends soon, and nothing is left of it. */
  cancel({ id }: Volume): void {
    const copy = this.#copies.get(id);
    if (copy === undefined || copy.phase !== 'running') return;
    copy.phase = 'cancelled';
    copy.cancelled.abort();
  }

  /** Ends every copy; they begin anew with the next agent. */
  async stop(): Promise<void> {
    this.#unsubscribe();
    const copies = [...this.#copies.values()];
    for (const { target } of copies) this.cancel(target);
    await Promise.all(copies.map(({ end }) => end));
  }

  async #run(copy: Copy): Promise<void> {
    const { open, log } = this.deps;
    const fields = { volume: copy.target.name, source: copy.source.volume };
    try {
      await this.#make(copy);
      copy.share = 1;
    } catch (error) {
      copy.error = toAurochsError(error);
      log.warn('a copy was not made', { ...fields, error: copy.error.message });
    }
    copy.phase = 'ended';
    open.onChange(copy.target.name);
  }

  async #make(copy: Copy): Promise<void> {
    const { target, source, cancelled } = copy;
    const place = onlyReplica(target);
    const { open, directories } = this.deps;
    const disk = await open.disk(place.diskId);
    // Whole before a crash: then it counts, whatever has become of its source, once its name is durable (D2).
    if ((await directories.listReplicas(disk.path)).includes(place.directory)) {
      return directories.syncReplicas(disk.path);
    }
    const live = await this.#openSource(copy);
    try {
      const release = await this.#slots.take(source.volumeId, cancelled.signal);
      await this.#copy(copy, live, disk.path).finally(release);
    } catch (error) {
      if (!hasCode(error, 'ALREADY_EXISTS')) throw error;
    } finally {
      this.#letGo(source.volume, live);
    }
  }

  async #copy({ target, source, cancelled }: Copy, live: OpenVolume, diskPath: string) {
    const { id: replicaId, directory: name } = onlyReplica(target);
    const cancel = (): void => {
      live.engine.cancelCopy(name).catch((error: unknown) => {
        // The source is being closed, which ends its copies too.
        this.deps.log.debug('a copy was not asked to end', { name, error: String(error) });
      });
    };
    cancelled.signal.addEventListener('abort', cancel);
    try {
      // It may have been cancelled since it was given its turn, when nobody listened.
      if (cancelled.signal.aborted) throw copyEnded(target);
      const { id: volumeId, sizeBytes } = target;
      const copy = { diskPath, name, volumeId, replicaId, sizeBytes };
      await live.engine.copySnapshot(source.snapshotId, copy);
    } finally {
      cancelled.signal.removeEventListener('abort', cancel);
    }
  }

  /** The source, open until it is let go, and with the snapshot that is to be copied. */
  async #openSource({ target, source, cancelled }: Copy): Promise<OpenVolume> {
    const { open } = this.deps;
    return open.exclusive(source.volume, async () => {
      if (cancelled.signal.aborted) throw copyEnded(target);
      const { volume, open: live } = await open.forWork(source.volume);
      if (volume.id !== source.volumeId) throw volumeNotFound(source.volume);
      if (source.temporary) await this.#takeTemporary(target, source, volume, live);
      live.copiedFrom += 1;
      return live;
    });
  }

  #letGo(source: string, live: OpenVolume): void {
    live.copiedFrom -= 1;
    live.lastUsedUnixMs = this.deps.clock.nowUnixMs();
    this.deps.open.onChange(source);
  }

  /** What the source holds now, once: after a restart the same snapshot is copied again. */
  async #takeTemporary(
    target: Volume,
    { snapshotId }: VolumeSource,
    source: Volume,
    live: OpenVolume,
  ): Promise<void> {
    const { snapshots } = await this.deps.open.describe(live);
    if (snapshots.some(({ id }) => id === snapshotId)) return;
    const nowUnixMs = this.deps.clock.nowUnixMs();
    const thaw = await holdStill(this.deps, source);
    try {
      await live.engine.takeSnapshot(snapshotId, temporaryName(target), nowUnixMs);
    } finally {
      await thaw();
    }
  }
}

function copyEnded({ name }: Volume): AurochsError {
  return new AurochsError('ABORTED', `volume ${name}: its copy was ended`);
}

/** "clone-1a2b3c4d-web" for volume web: whoever lists the source's snapshots sees what it is for. */
function temporaryName({ id, name }: Volume): string {
  return `clone-${shortId(id)}-${name}`.slice(0, SNAPSHOT_NAME_CHARS_MAX).replace(/-+$/, '');
}
