/**
 * Looks at every disk now and then: is it there, does it pass the probe, how much is free, which directories
 * belong to nobody. Those are reported and never removed: they may be the data of a store that was lost.
 */
import type { Clock, Timer } from '../core/clock.js';
import { hasCode, toAurochsError } from '../core/errors.js';
import { DISK_PROBE_INTERVAL_MS } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import type { Disk } from '../volume/model.js';
import { checkIdentity } from '../volume/open-volumes.js';
import type { DiskDirectories, Engine, Store, Stored } from '../volume/ports.js';

export interface DiskReconcilerDeps {
  store: Store;
  engine: Engine;
  directories: DiskDirectories;
  clock: Clock;
  log: Logger;
}

export class DiskReconciler {
  #timer: Timer | null = null;
  #running = false;
  #round: Promise<void> = Promise.resolve();

  constructor(private readonly deps: DiskReconcilerDeps) {}

  start(): void {
    this.#running = true;
    this.#round = this.#runRound();
  }

  async stop(): Promise<void> {
    this.#running = false;
    this.#timer?.cancel();
    await this.#round;
  }

  /** Looks at every disk once. */
  async reconcileAll(): Promise<void> {
    const { items } = await this.deps.store.list('disk');
    for (const item of items) await this.#reconcile(item);
  }

  async #runRound(): Promise<void> {
    try {
      await this.reconcileAll();
    } catch (error) {
      this.deps.log.error('disks cannot be looked at', { error: String(error) });
    }
    if (!this.#running) return;
    this.#timer = this.deps.clock.after(DISK_PROBE_INTERVAL_MS, () => {
      this.#round = this.#runRound();
    });
  }

  async #reconcile(item: Stored<'disk'>): Promise<void> {
    const disk = item.value;
    const seen = await this.#look(disk);
    if (disk.problem?.message !== seen.problem?.message) {
      const fields = { disk: disk.id, path: disk.path, problem: seen.problem?.message };
      if (seen.problem === null) this.deps.log.info('disk is sound again', fields);
      else this.deps.log.error('disk cannot be used', fields);
    }
    if (seen.leftovers.length > disk.leftovers.length) {
      this.deps.log.warn('disk has directories that no volume claims', {
        disk: disk.id,
        path: disk.path,
        directories: seen.leftovers.join(' '),
      });
    }
    if (isSame(disk, seen)) return;
    try {
      await this.deps.store.update('disk', item.key, seen, item.revision);
    } catch (error) {
      // Changed or removed meanwhile: the next round sees to it.
      if (!hasCode(error, 'CONFLICT') && !hasCode(error, 'NOT_FOUND')) throw error;
    }
  }

  async #look(disk: Disk): Promise<Disk> {
    try {
      await checkIdentity(this.deps.directories, disk);
      const probe = await this.deps.engine.probeDisk(disk.path);
      // In this order: a volume is in the store before its directory is on the disk.
      const names = await this.deps.directories.listReplicas(disk.path);
      const claimed = await this.#claimedDirectories();
      return {
        ...disk,
        fileSystem: probe.fileSystem,
        totalBytes: probe.totalBytes,
        freeBytes: probe.freeBytes,
        fileBytesMax: probe.fileBytesMax,
        leftovers: names.filter((name) => !claimed.has(`${disk.id}/${name}`)).sort(),
        problem: null,
      };
    } catch (thrown) {
      const { code, message, hint } = toAurochsError(thrown);
      const named = message.includes(disk.path) ? message : `disk ${disk.path}: ${message}`;
      return {
        ...disk,
        problem: { code, message: named, ...(hint === undefined ? {} : { hint }) },
      };
    }
  }

  /** "<disk>/<directory>" of every replica in the store. */
  async #claimedDirectories(): Promise<ReadonlySet<string>> {
    const { items } = await this.deps.store.list('volume');
    const places = items.flatMap((item) => item.value.replicas);
    return new Set(places.map((place) => `${place.diskId}/${place.directory}`));
  }
}

/** Whether a round found nothing worth a write: free space counts from one part in a thousand on. */
function isSame(before: Disk, after: Disk): boolean {
  const moved =
    before.freeBytes > after.freeBytes
      ? before.freeBytes - after.freeBytes
      : after.freeBytes - before.freeBytes;
  return (
    moved * 1000n < (after.totalBytes > 0n ? after.totalBytes : 1n) &&
    before.totalBytes === after.totalBytes &&
    before.fileBytesMax === after.fileBytesMax &&
    before.fileSystem === after.fileSystem &&
    before.problem?.message === after.problem?.message &&
    before.problem?.code === after.problem?.code &&
    before.leftovers.join('/') === after.leftovers.join('/')
  );
}
