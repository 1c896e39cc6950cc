/**
 * Brings one volume from what it is to what is wanted, step by step (next-step.ts). Level-triggered: it reads
 * the store and what is open each time and remembers nothing, so it may be started anew at any moment.
 */
import { isDeepStrictEqual } from 'node:util';

import { AurochsError, hasCode, passesByItself, toAurochsError } from '../core/errors.js';
import type { Clock } from '../core/clock.js';
import { serialOf } from '../core/ids.js';
import { invariant, unreachable } from '../core/invariant.js';
import { RESYNC_INTERVAL_MS, RETRY_MIN_MS, STEPS_PER_RECONCILE_MAX } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import {
  addressForDevice,
  iscsiAccess,
  iscsiConfig,
  nbdConfig,
  refusalToExport,
  type ListenAddresses,
} from '../volume/exports.js';
import type { Frontend, Problem, Volume, VolumeRobustness } from '../volume/model.js';
import {
  lastingProblem,
  onlyReplica,
  withoutFailure,
  type OpenVolume,
  type OpenVolumes,
} from '../volume/open-volumes.js';
import type { Engine, NodeDevices, Store, Stored } from '../volume/ports.js';
import { markUnwanted, removeUnwanted } from '../volume/unwanted-snapshots.js';
import type { VolumeCopies } from '../volume/volume-copies.js';
import { moveTo } from '../volume/volume-state.js';
import { nextStep, type Observed, type Step } from './next-step.js';

type Action = Exclude<Step, { do: 'rest' } | { do: 'checkMerges' }>;

export interface VolumeReconcilerDeps {
  store: Store;
  engine: Engine;
  open: OpenVolumes;
  copies: VolumeCopies;
  devices: NodeDevices;
  listen: ListenAddresses;
  clock: Clock;
  log: Logger;
}

export class VolumeReconciler {
  /** Revisions this reconciler wrote last, by volume name: its own echo is no news. */
  readonly #written = new Map<string, string>();

  constructor(private readonly deps: VolumeReconcilerDeps) {}

  isOwnEcho(item: Stored<'volume'>): boolean {
    return this.#written.get(item.key) === item.revision;
  }

  /** Takes steps until the volume rests. Throws what stopped it, once that is written as its problem. */
  async reconcile(name: string): Promise<{ againAfterMs: number } | null> {
    for (let steps = 0; steps < STEPS_PER_RECONCILE_MAX; ++steps) {
      const rest = await this.deps.open.exclusive(name, () => this.#oneStep(name));
      if (rest === null) continue;
      return rest.againAfterMs === null ? null : { againAfterMs: rest.againAfterMs };
    }
    this.deps.log.warn('volume does not settle', { volume: name });
    return { againAfterMs: RETRY_MIN_MS };
  }

  /** Null if a step was taken; else when to look again. */
  async #oneStep(name: string): Promise<{ againAfterMs: number | null } | null> {
    const stored = await this.deps.store.get('volume', name);
    if (stored === null) {
      this.#written.delete(name);
      return { againAfterMs: null };
    }
    const step = nextStep(stored.value, this.#observe(stored.value));
    if (step.do === 'rest') return { againAfterMs: step.againAfterMs };
    try {
      if (step.do === 'checkMerges') return await this.#checkMerges(stored);
      await this.#take(step, stored);
      return null;
    } catch (error) {
      if (hasCode(error, 'CONFLICT')) return null; // Somebody wrote meanwhile: look again.
      await this.#noteProblem(step, stored, toAurochsError(error));
      throw error;
    }
  }

  #observe(volume: Volume): Observed {
    const open = this.deps.open.get(volume);
    const claimed = this.deps.open.hasClaimed(volume);
    const { listening } = this.deps.listen;
    const copy = this.deps.copies.phase(volume);
    if (open === null) return { live: null, claimed, copy, listening };
    const idleMs = this.deps.clock.nowUnixMs() - open.lastUsedUnixMs;
    return { live: { ...open, idleMs: Math.max(0, idleMs) }, claimed, copy, listening };
  }

  async #take(step: Action, stored: Stored<'volume'>): Promise<void> {
    const volume = stored.value;
    const { open } = this.deps;
    switch (step.do) {
      case 'create':
        return this.#create(stored);
      case 'startCopy':
        return this.deps.copies.start(volume);
      case 'finishCopy':
        return this.#finishCopy(stored);
      case 'cancelCopy':
        return this.deps.copies.cancel(volume);
      case 'giveUpCopy':
        return this.#giveUpCopy(stored);
      case 'claim': {
        const attach = step.purpose === 'attach';
        this.#wrote(await open.claim(stored, (v) => (attach ? moveTo(v, 'attaching') : v)));
        return;
      }
      case 'open':
        await open.open(volume, step.purpose);
        return;
      case 'expand':
        return this.#expand(stored);
      case 'export':
        return this.#export(volume, step.frontend);
      case 'unexport':
        return this.#unexport(volume, step.frontend);
      case 'setAccess':
        return this.#setAccess(volume);
      case 'attachDevice':
        return this.#attachDevice(stored);
      case 'growDevice':
        return this.#growDevice(stored);
      case 'detachDevice':
        return this.#detachDevice(stored);
      case 'announce':
        return this.#announce(stored);
      case 'noteFailure':
        return this.#noteFailure(stored, step.message);
      case 'removeUnwanted':
        return removeUnwanted(this.deps, volume, this.#mustBeOpen(volume));
      case 'close':
        return open.close(volume);
      case 'move': {
        const moved = moveTo(volume, step.to);
        this.deps.log.info('volume state', {
          volume: volume.name,
          from: volume.state,
          to: step.to,
          why: step.why,
        });
        // Whoever detaches a failed replica accepts its loss; attaching is allowed again.
        return this.#write(stored, step.to === 'detached' ? withoutFailure(moved) : moved);
      }
      case 'remove':
        return this.#remove(stored);
      default:
        return unreachable(step);
    }
  }

  /** Idempotent: a directory that is there was created before a crash, and opening it verifies its identity. */
  async #create(stored: Stored<'volume'>): Promise<void> {
    const volume = stored.value;
    const place = onlyReplica(volume);
    const disk = await this.deps.open.disk(place.diskId);
    try {
      await this.deps.engine.createReplica(disk.path, place.directory, {
        volumeId: volume.id,
        replicaId: place.id,
        sizeBytes: volume.sizeBytes,
      });
    } catch (error) {
      if (!hasCode(error, 'ALREADY_EXISTS')) throw error;
    }
    await this.#write(stored, {
      ...moveTo(volume, 'detached'),
      robustness: 'healthy',
      problem: null,
    });
  }

  /**
   * Throws why there is no replica, once that is written: a copy that must not be made again rests then. Of one that is, it
   * stays to be seen until the next has ended: else nobody could tell why it takes so long.
   */
  async #finishCopy(stored: Stored<'volume'>): Promise<void> {
    const volume = stored.value;
    const { copies, store, log } = this.deps;
    const failure = copies.failure(volume);
    if (failure !== null) {
      const problem = problemFrom(volume, failure);
      const hint = passesByItself(failure.code) ? COPIED_ANEW : problem.hint;
      await this.#write(stored, { ...volume, problem: { ...problem, ...(hint && { hint }) } });
      copies.forget(volume);
      throw failure;
    }
    // In this order: after a crash in between the replica is there, and it is noted once more.
    await noteTemporary(store, volume);
    const made = moveTo(volume, 'detached');
    await this.#write(stored, { ...made, robustness: 'healthy', problem: null });
    copies.forget(volume);
    log.info('volume copied', { volume: volume.name, source: volume.source?.volume });
  }

  async #giveUpCopy(stored: Stored<'volume'>): Promise<void> {
    const volume = stored.value;
    await noteTemporary(this.deps.store, volume);
    await this.#write(stored, moveTo(volume, 'deleting'));
    this.deps.copies.forget(volume);
  }

  async #expand(stored: Stored<'volume'>): Promise<void> {
    const volume = stored.value;
    const open = this.#mustBeOpen(volume);
    const description = await this.deps.open.describe(open);
    if (description.sizeBytes < volume.desired.sizeBytes) {
      await open.engine.expand(volume.desired.sizeBytes);
    }
    const problem = lastingProblem(volume);
    await this.#write(stored, { ...volume, sizeBytes: volume.desired.sizeBytes, problem });
  }

  async #export(volume: Volume, frontend: Frontend): Promise<void> {
    const refusal = refusalToExport(volume, frontend, this.deps.listen);
    if (refusal !== null) throw refusal;
    const open = this.#mustBeOpen(volume);
    if (frontend === 'iscsi') {
      const config = iscsiConfig(volume);
      await open.engine.exportIscsi(config);
      open.access = config.access;
    } else {
      await open.engine.exportNbd(nbdConfig(volume));
    }
    open.offered.add(frontend);
    open.announced = false;
  }

  async #unexport(volume: Volume, frontend: Frontend): Promise<void> {
    const open = this.#mustBeOpen(volume);
    if (frontend === 'iscsi') await open.engine.unexportIscsi();
    else await open.engine.unexportNbd();
    open.offered.delete(frontend);
    open.announced = false;
  }

  async #setAccess(volume: Volume): Promise<void> {
    const open = this.#mustBeOpen(volume);
    const access = iscsiAccess(volume);
    await open.engine.setIscsiAccess(access);
    open.access = access;
    open.announced = false; // Whoever changed it waits to hear.
    this.deps.log.info('who may log in over iSCSI has changed', { volume: volume.name });
  }

  /** A device of before is kept, whatever would be chosen today: somebody may have mounted it. */
  async #attachDevice(stored: Stored<'volume'>): Promise<void> {
    const volume = stored.value;
    const wish = volume.desired.device;
    invariant(wish !== null, `${volume.name}: a device is wanted`);
    const { devices, listen } = this.deps;
    const open = this.#mustBeOpen(volume);
    const found = await devices.find(volume.name);
    if (found === null && volume.device !== null) {
      return this.#write(stored, { ...volume, device: null }); // It was of an earlier boot.
    }
    const known = found === null ? null : volume.device;
    const { frontend, why } =
      known ?? (await devices.choose(found?.frontend ?? wish.frontend, volume.desired.frontends));
    const attached = await devices.attach({
      volume: volume.name,
      serial: serialOf(volume.id),
      sizeBytes: volume.sizeBytes,
      readOnly: volume.desired.readOnly,
      from: addressForDevice(volume.name, frontend, listen),
      chap: volume.chap,
    });
    const before = open.device;
    const isNews = before === 'unknown';
    open.device = 'sound'; // Before it is written: whoever waits for the device looks at the moment of the write.
    const device = { ...attached, why, sizeBytes: known?.sizeBytes ?? volume.sizeBytes };
    const problem = lastingProblem(volume);
    if (!isNews && isDeepStrictEqual([device, problem], [volume.device, volume.problem])) return;
    try {
      await this.#write(stored, { ...volume, device, problem });
    } catch (error) {
      open.device = before; // Nobody has been told, so it must be looked at and written once more.
      throw error;
    }
    if (isNews)
      this.deps.log.info('volume has a device', { volume: volume.name, ...attached, why });
  }

  async #growDevice(stored: Stored<'volume'>): Promise<void> {
    const volume = stored.value;
    invariant(volume.device !== null, `${volume.name}: has a device`);
    await this.deps.devices.grow(volume.name, volume.sizeBytes);
    const device = { ...volume.device, sizeBytes: volume.sizeBytes };
    await this.#write(stored, { ...volume, device, problem: lastingProblem(volume) });
  }

  async #detachDevice(stored: Stored<'volume'>): Promise<void> {
    const volume = stored.value;
    await this.deps.devices.detach(volume.name, false);
    const open = this.deps.open.get(volume);
    if (open !== null) open.device = 'unknown';
    const desired = volume.desired.attached ? volume.desired : { ...volume.desired, device: null };
    await this.#write(stored, { ...volume, desired, device: null });
    this.deps.log.info('volume has no device any more', { volume: volume.name });
  }

  async #announce(stored: Stored<'volume'>): Promise<void> {
    const volume = stored.value;
    const failed = onlyReplica(volume).failed !== null;
    await this.#write(stored, {
      ...moveTo(volume, 'attached'),
      robustness: failed ? 'faulted' : 'healthy',
      problem: lastingProblem(volume),
    });
    this.#mustBeOpen(volume).announced = true;
    if (volume.state !== 'attached') {
      this.deps.log.info('volume attached', {
        volume: volume.name,
        epoch: String(volume.epoch),
        frontends: volume.desired.frontends.join(' '),
      });
    }
  }

  async #noteFailure(stored: Stored<'volume'>, message: string): Promise<void> {
    const volume = stored.value;
    const problem: Problem = {
      code: 'IO',
      message: `volume ${volume.name}: its disk failed to keep what was written: ${message}`,
      hint: `Look at the disk. Then accept the loss of what was written since the last flush: aurochs volume detach --force ${volume.name}, check it, attach it again.`,
    };
    await this.#write(stored, {
      ...volume,
      replicas: volume.replicas.map((place) => ({ ...place, failed: message })),
      robustness: 'faulted',
      problem,
    });
  }

  /** The engine tells when a merge has ended; looking now and then is for an event that was missed. */
  async #checkMerges(stored: Stored<'volume'>): Promise<{ againAfterMs: number } | null> {
    const open = this.#mustBeOpen(stored.value);
    const description = await this.deps.open.describe(open);
    if (description.snapshots.some((snapshot) => snapshot.removing)) {
      return { againAfterMs: RESYNC_INTERVAL_MS };
    }
    await this.#write(stored, { ...stored.value, merging: false });
    return null;
  }

  async #remove(stored: Stored<'volume'>): Promise<void> {
    const volume = stored.value;
    const place = onlyReplica(volume);
    const disk = await this.deps.open.disk(place.diskId);
    try {
      await this.deps.engine.removeReplica(disk.path, place.directory);
    } catch (error) {
      if (!hasCode(error, 'NOT_FOUND')) throw error;
    }
    await this.deps.store.delete('volume', stored.key, stored.revision);
    this.deps.open.forget(volume);
    this.deps.log.info('volume deleted', { volume: volume.name, volumeId: volume.id });
  }

  #mustBeOpen(volume: Volume): OpenVolume {
    const open = this.deps.open.get(volume);
    if (open === null) throw new AurochsError('INTERNAL', `${volume.name}: is not open`);
    return open;
  }

  async #noteProblem(step: Step, stored: Stored<'volume'>, error: AurochsError): Promise<void> {
    // Lost data is the worst that can be said of a volume; nothing else hides it.
    if (stored.value.replicas.some((place) => place.failed !== null)) return;
    const { problem } = stored.value;
    const next = problemFrom(stored.value, error);
    const robustness = robustnessAfter(step, stored.value, error);
    if (
      problem?.message === next.message &&
      problem.code === next.code &&
      robustness === stored.value.robustness
    ) {
      return;
    }
    try {
      await this.#write(stored, { ...stored.value, robustness, problem: next });
    } catch (writing) {
      if (!hasCode(writing, 'CONFLICT')) throw writing;
    }
  }

  async #write(stored: Stored<'volume'>, value: Volume): Promise<void> {
    this.#wrote(await this.deps.store.update('volume', stored.key, value, stored.revision));
  }

  #wrote(item: Stored<'volume'>): void {
    this.#written.set(item.key, item.revision);
  }
}

/** The snapshot that was taken for the copy alone has done its service. */
async function noteTemporary(store: Store, { source }: Volume): Promise<void> {
  if (source?.temporary === true) await markUnwanted(store, source);
}

/** Errors that say: this replica cannot be served as it is. */
function robustnessAfter(step: Step, volume: Volume, error: AurochsError): VolumeRobustness {
  if (step.do !== 'open') return volume.robustness;
  switch (error.code) {
    case 'CORRUPTION':
    case 'NOT_FOUND':
    case 'IO':
    case 'UNAVAILABLE':
    case 'UNSUPPORTED':
    case 'STALE_EPOCH':
      return 'faulted';
    default:
      return volume.robustness;
  }
}

function problemFrom(volume: Volume, error: AurochsError): Problem {
  const hint = error.hint ?? HINTS[error.code];
  return {
    code: error.code,
    message: error.message.includes(volume.name)
      ? error.message
      : `volume ${volume.name}: ${error.message}`,
    ...(hint === undefined ? {} : { hint }),
  };
}

const COPIED_ANEW =
  'The copy begins anew by itself, from its beginning. Attaching or detaching its source ends it: leave the source as it is until the volume is there.';

/** What to do about what the engine says, which does not know commands. */
const HINTS: Partial<Record<AurochsError['code'], string>> = {
  CORRUPTION:
    'Restore the directory from a copy, or delete the volume. Other volumes are not affected.',
  NOT_FOUND: 'The directory of the replica is gone. Restore it from a copy, or delete the volume.',
  STALE_EPOCH:
    'A newer engine has opened the replica: the store is older than the data. Restore the newest copy of the store.',
  BUSY: 'Another process has the replica open. The agent tries again by itself.',
  NO_SPACE: 'Make room on the disk, or use another one.',
  READ_ONLY: 'The disk is mounted read-only; mount it for writing.',
  IO: 'Look at the kernel log for the disk.',
  UNSUPPORTED: 'The replica was written by a newer version of aurochs; use that version.',
};
