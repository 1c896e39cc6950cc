/** Changing a volume in the store against the race of others, and waiting until the change is seen. */
import type { Clock } from '../core/clock.js';
import { AurochsError, hasCode } from '../core/errors.js';
import { CONFLICT_RETRIES_MAX } from '../core/limits.js';
import type { Volume } from './model.js';
import { volumeNotFound } from './open-volumes.js';
import type { Store, Stored } from './ports.js';

/** Updates the volume with what `change` makes of it, again if somebody else was faster. */
export async function changeVolume(
  store: Store,
  name: string,
  change: (volume: Volume) => Volume,
): Promise<Stored<'volume'>> {
  for (let attempt = 0; attempt < CONFLICT_RETRIES_MAX; ++attempt) {
    const stored = await store.get('volume', name);
    if (stored === null) throw volumeNotFound(name);
    try {
      return await store.update('volume', name, change(stored.value), stored.revision);
    } catch (error) {
      if (!hasCode(error, 'CONFLICT')) throw error;
    }
  }
  throw new AurochsError('BUSY', `volume ${name} is being changed by others`, 'Try again.');
}

export interface WaitOptions {
  clock: Clock;
  deadlineMs: number;
  /** What is waited for, for the error: "is being attached". */
  what: string;
}

/**
 * Waits until `done` says so of the volume as written in `from` or later; null stands for a deleted one. UNAVAILABLE when
 * the deadline passes or the store cannot watch: the intent stays written and is carried out later.
 */
export function waitForVolume(
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
