/**
 * Runs the volume reconciler for every volume that changed: in the store, in the engine, or by the clock.
 * After a start every volume is looked at, so whatever a crash interrupted goes on from there.
 */
import type { Clock, Timer } from '../core/clock.js';
import { toAurochsError } from '../core/errors.js';
import {
  RECONCILES_PARALLEL,
  RESYNC_INTERVAL_MS,
  RETRY_MAX_MS,
  RETRY_MIN_MS,
} from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import { WorkQueue } from '../core/work-queue.js';
import type { OpenVolumes } from '../volume/open-volumes.js';
import type { Store, Watch } from '../volume/ports.js';
import type { VolumeReconciler } from './volume-reconciler.js';

const SETTLED_POLL_MS = 5;

export interface VolumeControllerDeps {
  store: Store;
  open: OpenVolumes;
  reconciler: VolumeReconciler;
  clock: Clock;
  log: Logger;
}

export class VolumeController {
  readonly #queue: WorkQueue;
  #watch: Watch | null = null;
  #resync: Timer | null = null;
  #running = false;

  constructor(private readonly deps: VolumeControllerDeps) {
    const { clock, log, reconciler } = deps;
    this.#queue = new WorkQueue((name) => reconciler.reconcile(name), {
      clock,
      parallel: RECONCILES_PARALLEL,
      retryMinMs: RETRY_MIN_MS,
      retryMaxMs: RETRY_MAX_MS,
      onError: (volume, thrown, retryMs) => {
        const { code, message: error, hint } = toAurochsError(thrown);
        log.warn('volume step failed', { volume, code, error, hint, retryMs });
      },
    });
  }

  async start(): Promise<void> {
    this.#running = true;
    this.deps.open.onChange = (volume) => this.#queue.add(volume);
    await this.#listAndWatch();
    this.#scheduleResync();
  }

  /** Looks at the volumes that waited for the agent to listen: devices can be made now. */
  async listening(): Promise<void> {
    const { items } = await this.deps.store.list('volume');
    for (const { key, value } of items) if (value.desired.device !== null) this.#queue.add(key);
  }

  /** No new steps; resolves when the last one has ended. Leaves open what is open. */
  async stop(): Promise<void> {
    this.#running = false;
    this.deps.open.onChange = () => {};
    this.#resync?.cancel();
    this.#watch?.close();
    await this.#queue.close();
  }

  /** Resolves when every volume that is known to need a look has had it, or the deadline has passed. */
  async settled(deadlineMs: number): Promise<void> {
    const { clock } = this.deps;
    const deadline = clock.nowUnixMs() + deadlineMs;
    while (!this.#queue.idle && clock.nowUnixMs() < deadline) {
      await new Promise<void>((resolve) => clock.after(SETTLED_POLL_MS, resolve));
    }
  }

  async #listAndWatch(): Promise<void> {
    const { store, reconciler } = this.deps;
    const { items, revision } = await store.list('volume');
    if (!this.#running) return;
    for (const item of items) this.#queue.add(item.key);
    this.#watch = store.watch(
      'volume',
      revision,
      (event) => {
        if (event.type === 'deleted') this.#queue.forget(event.key);
        else if (!reconciler.isOwnEcho(event.item)) this.#queue.add(event.item.key);
      },
      (why) => {
        this.deps.log.warn('the watch of volumes was lost', { why });
        void this.#watchAgain();
      },
    );
  }

  async #watchAgain(): Promise<void> {
    if (!this.#running) return;
    try {
      await this.#listAndWatch();
    } catch (error) {
      this.deps.log.error('volumes cannot be listed', { error: String(error) });
      this.deps.clock.after(RETRY_MAX_MS, () => void this.#watchAgain());
    }
  }

  #scheduleResync(): void {
    this.#resync = this.deps.clock.after(RESYNC_INTERVAL_MS, () => {
      void this.#addAll().finally(() => {
        if (this.#running) this.#scheduleResync();
      });
    });
  }

  /** For causes that nobody told of: an event or a change that was lost on its way. */
  async #addAll(): Promise<void> {
    try {
      const { items } = await this.deps.store.list('volume');
      for (const item of items) if (this.#running) this.#queue.add(item.key);
      await this.deps.open.refreshAll();
    } catch (error) {
      this.deps.log.error('volumes cannot be listed', { error: String(error) });
    }
  }
}
