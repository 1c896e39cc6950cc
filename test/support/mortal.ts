/** A process that is killed at a chosen step, for tests of what the next one makes of what it left. */
import type { Kinds, Kind, Store } from '../../src/volume/ports.js';

/** Dies at its n-th step: from then on nothing that it does has an effect or an answer. */
export class Mortal {
  #steps = 0;
  #die = (): void => {};
  readonly death = new Promise<'died'>((resolve) => {
    this.#die = () => resolve('died');
  });
  lastStep = '';

  /** Steps before `begin` do not count when it has not begun. */
  constructor(
    private readonly diesAt: number,
    private begun = true,
  ) {}

  begin(): void {
    this.begun = true;
  }

  readonly step = async (where: string, what: string): Promise<void> => {
    if (!this.begun) return;
    if (this.#steps > this.diesAt) return never();
    if (this.#steps++ < this.diesAt) return;
    this.lastStep = `${where} ${what}`;
    this.#die();
    return never();
  };

  wrap = (store: Store): Store => {
    const around = async <T>(what: string, write: () => Promise<T>): Promise<T> => {
      await this.step('before', what);
      const result = await write();
      await this.step('after', what);
      return result;
    };
    return {
      get: (kind, key) => store.get(kind, key),
      count: (kind) => store.count(kind),
      list: (kind) => store.list(kind),
      create: (kind, key, value) => around(`create ${key}`, () => store.create(kind, key, value)),
      update: <K extends Kind>(kind: K, key: string, value: Kinds[K], revision: string) =>
        around(`update ${key}`, () => store.update(kind, key, value, revision)),
      delete: (kind, key, revision) =>
        around(`delete ${key}`, () => store.delete(kind, key, revision)),
      watch: (kind, after, listener, lost, key) => store.watch(kind, after, listener, lost, key),
      close: () => store.close(),
    };
  };
}

function never(): Promise<never> {
  return new Promise(() => {});
}
