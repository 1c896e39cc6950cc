/**
 * The keys that need a look, each at most once, worked on by a bounded number of workers.
 *
 * A key added while it is worked on is worked on once more afterwards: level-triggered, nothing that
 * happened is missed. A key whose work throws comes back after a delay that doubles up to a maximum.
 */
import type { Clock, Timer } from './clock.js';

export interface WorkQueueOptions {
  clock: Clock;
  parallel: number;
  retryMinMs: number;
  retryMaxMs: number;
  /** Hears every failure; the key is retried anyway. */
  onError: (key: string, error: unknown, retryMs: number) => void;
}

/** When the key wants to be looked at again without a cause; null: not before there is one. */
export type Work = (key: string) => Promise<{ againAfterMs: number } | null>;

export class WorkQueue {
  readonly #work: Work;
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>(); // In order of arrival.
  readonly #running = new Set<string>();
  readonly #dirty = new Set<string>(); // Added while running.
  readonly #timers = new Map<string, Timer>();
  readonly #failures = new Map<string, number>();
  #closed = false;
  #drained: (() => void) | null = null;

  constructor(work: Work, options: WorkQueueOptions) {
    this.#work = work;
    this.#options = options;
  }

  /** The key is looked at as soon as a worker is free; a pending retry is brought forward. */
  add(key: string): void {
    if (this.#closed) return;
    this.#cancelTimer(key);
    if (this.#running.has(key)) this.#dirty.add(key);
    else this.#waiting.add(key);
    this.#startWorkers();
  }

  /** Forgets a key that does not exist any more, and its history of failures. */
  forget(key: string): void {
    this.#cancelTimer(key);
    this.#waiting.delete(key);
    this.#dirty.delete(key);
    this.#failures.delete(key);
  }

  get idle(): boolean {
    return this.#waiting.size === 0 && this.#running.size === 0;
  }

  /** No new work; resolves when the running work has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting.clear();
    this.#dirty.clear();
    for (const key of [...this.#timers.keys()]) this.#cancelTimer(key);
    if (this.#running.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  #startWorkers(): void {
    for (const key of this.#waiting) {
      if (this.#running.size >= this.#options.parallel) return;
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#runOne(key);
    }
  }

  async #runOne(key: string): Promise<void> {
    let againAfterMs: number | null = null;
    try {
      againAfterMs = (await this.#work(key))?.againAfterMs ?? null;
      this.#failures.delete(key);
    } catch (error) {
      againAfterMs = this.#delayAfterFailure(key);
      this.#options.onError(key, error, againAfterMs);
    }
    this.#running.delete(key);
    if (this.#closed) {
      if (this.#running.size === 0) this.#drained?.();
      return;
    }
    if (this.#dirty.delete(key)) this.#waiting.add(key);
    else if (againAfterMs !== null) this.#addAfter(key, againAfterMs);
    this.#startWorkers();
  }

  #delayAfterFailure(key: string): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    return Math.min(
      this.#options.retryMinMs * 2 ** Math.min(failures, 30),
      this.#options.retryMaxMs,
    );
  }

  #addAfter(key: string, delayMs: number): void {
    this.#cancelTimer(key);
    const timer = this.#options.clock.after(delayMs, () => {
      this.#timers.delete(key);
      this.add(key);
    });
    this.#timers.set(key, timer);
  }

  #cancelTimer(key: string): void {
    this.#timers.get(key)?.cancel();
    this.#timers.delete(key);
  }
}
