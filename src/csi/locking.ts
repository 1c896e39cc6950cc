/**
 * One call at a time for each volume, snapshot or name: a second one is ABORTED, as the specification recommends.
 * A lock is held until the work has really ended, also when its caller has given up meanwhile.
 */
import { AurochsError } from '../core/errors.js';

export class Locks {
  readonly #held = new Set<string>();

  /** Runs `work` while nobody else holds one of the keys; ABORTED names the first that somebody holds. */
  async hold<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const taken = keys.find((key) => this.#held.has(key));
    if (taken !== undefined) {
      throw new AurochsError(
        'ABORTED',
        `another call for ${taken} has not ended`,
        'Repeat the call in a moment.',
      );
    }
    for (const key of keys) this.#held.add(key);
    try {
      return await work();
    } finally {
      for (const key of keys) this.#held.delete(key);
    }
  }

  get size(): number {
    return this.#held.size;
  }
}

type Calls = Record<string, (request: never) => Promise<unknown>>;

/** For a call that changes something, or may take for ever: what it must be alone with. */
export type LockKeys<S extends Calls> = {
  [M in keyof S]?: (request: Parameters<S[M]>[0]) => string[];
};

/** The same calls, each under the locks that `keys` names for it; the others as they are. */
export function locked<S extends Calls>(calls: S, keys: LockKeys<S>, locks = new Locks()): S {
  const wrapped = Object.entries(calls).map(([name, call]) => {
    const keysOf = keys[name];
    if (keysOf === undefined) return [name, call];
    return [
      name,
      (request: never) => locks.hold([...new Set(keysOf(request))], () => call(request)),
    ];
  });
  return Object.fromEntries(wrapped) as S;
}
