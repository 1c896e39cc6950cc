/** Changing a volume in the store against the race of others, and waiting until the change is seen. */
import type { Clock } from '../core/clock.js';
import { AurochsError, hasCode } from '../core/errors.js';
import { CONFLICT_RETRIES_MAX, USE_CASE_DEADLINE_MS } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import type { Volume } from './model.js';
import { volumeNotFound } from './open-volumes.js';
import type { Kind, Kinds, Store, Stored } from './ports.js';

/** Updates the item with what `change` makes of it, again if somebody else was faster. */
export async function changeStored<K extends Kind>(
  store: Store,
  kind: K,
  key: string,
  change: (value: Kinds[K]) => Kinds[K],
  missing: () => AurochsError,
): Promise<Stored<K>> {
  for (let attempt = 0; attempt < CONFLICT_RETRIES_MAX; ++attempt) {
    const stored = await store.get(kind, key);
    if (stored === null) throw missing();
    try {
      return await store.update(kind, key, change(stored.value), stored.revision);
    } catch (error) {
      if (!hasCode(error, 'CONFLICT')) throw error;
    }
  }
  throw new AurochsError('BUSY', `${kind} ${key} is being changed by others`, 'Try again.');
}

export function changeVolume(
  store: Store,
  name: string,
  change: (volume: Volume) => Volume,
): Promise<Stored<'volume'>> {
  return changeStored(store, 'volume', name, change, () => volumeNotFound(name));
}

/** Waits for what the reconciler makes of volumes, on behalf of a user. */
export class Waiter {
  constructor(
    private readonly deps: { store: Store; clock: Clock; log: Logger; deadlineMs?: number },
  ) {}

  /** As waitForVolume. */
  wait(
    stored: Stored<'volume'>,
    what: string,
    done: (volume: Volume | null) => boolean,
    deadlineMs = USE_CASE_DEADLINE_MS,
  ): Promise<Volume | null> {
    const { store, clock } = this.deps;
    const options = { clock, deadlineMs: Math.min(deadlineMs, this.#deadlineMs), what };
    return waitForVolume(store, stored, done, options);
  }

  /** The user hears of the failure, not of what went wrong while it was cleaned up; the log has that. */
  async waitForUndo(
    stored: Stored<'volume'>,
    done: (volume: Volume | null) => boolean,
  ): Promise<void> {
    try {
      await this.wait(stored, 'is being cleaned up', done);
    } catch (error) {
      const fields = { volume: stored.key, error: String(error) };
      this.deps.log.warn('undoing what failed is not finished', fields);
    }
  }

  get #deadlineMs(): number {
    return this.deps.deadlineMs ?? USE_CASE_DEADLINE_MS;
  }
}

interface WaitOptions {
  clock: Clock;
  deadlineMs: number;
  /** What is waited for, for the error: "is being attached". */
  what: string;
}

/**
 * Waits until `done` says so of the volume as written in `from` or later; null stands for a deleted one. UNAVAILABLE when
 * the deadline passes or the store cannot watch: the intent stays written and is carried out later.
 */
function waitForVolume(
  store: Store,
  from: Stored<'volume'>,
  done: (volume: Volume | null) => boolean,
  options: WaitOptions,
): Promise<Volume | null> {
  if (done(from.value)) return Promise.resolve(from.value);
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      timer.cancel();
      watch.close();
    };
    const giveUp = (why: string): void => {
      stop();
      reject(
        new AurochsError(
          'UNAVAILABLE',
          `volume ${from.key} ${options.what}: ${why}`,
          'The agent goes on with it; "aurochs volume show" has its state.',
        ),
      );
    };
    const watch = store.watch(
      'volume',
      from.revision,
      (event) => {
        const volume = event.type === 'put' ? event.item.value : null;
        if (volume !== null && volume.id !== from.value.id) return giveUp('it was replaced');
        try {
          if (!done(volume)) return;
        } catch (error) {
          stop();
          reject(error instanceof Error ? error : new Error(String(error)));
          return;
        }
        stop();
        resolve(volume);
      },
      giveUp,
      from.key,
    );
    const timer = options.clock.after(options.deadlineMs, () =>
      giveUp(`not done after ${options.deadlineMs / 1000} s`),
    );
  });
}
