/** A number of places, and of each kind only some; whoever finds none free waits, first come, first served. */
import { AurochsError } from './errors.js';

const NEVER = new AbortController().signal;

interface Waiting {
  kind: string;
  give: () => void;
}

export class Slots {
  readonly #waiting = new Set<Waiting>(); // In order of arrival.
  readonly #taken = new Map<string, number>(); // By kind; no zeros.
  #free: number;

  constructor(
    count: number,
    private readonly countOfKind = count,
  ) {
    this.#free = count;
  }

  /** Resolves to what gives the place back, to be called once. ABORTED when the signal comes first. */
  async take(kind: string, signal: AbortSignal): Promise<() => void> {
    const given = !signal.aborted && (this.#tryTake(kind) || (await this.#turn(kind, signal)));
    if (!given) throw new AurochsError('ABORTED', 'given up while it waited for its turn');
    return () => this.#give(kind);
  }

  /** Runs the task when there is a place for it. */
  async run<T>(kind: string, task: () => Promise<T>): Promise<T> {
    const giveBack = await this.take(kind, NEVER);
    try {
      return await task();
    } finally {
      giveBack();
    }
  }

  #tryTake(kind: string): boolean {
    const taken = this.#taken.get(kind) ?? 0;
    if (this.#free === 0 || taken >= this.countOfKind) return false;
    this.#free -= 1;
    this.#taken.set(kind, taken + 1);
    return true;
  }

  /** True with a place, false when the signal has come before. */
  #turn(kind: string, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (given: boolean): void => {
        signal.removeEventListener('abort', giveUp);
        this.#waiting.delete(waiting);
        resolve(given);
      };
      const waiting = { kind, give: () => settle(true) };
      const giveUp = (): void => settle(false);
      signal.addEventListener('abort', giveUp);
      this.#waiting.add(waiting);
    });
  }

  #give(kind: string): void {
    const left = (this.#taken.get(kind) ?? 0) - 1;
    if (left === 0) this.#taken.delete(kind);
    else this.#taken.set(kind, left);
    this.#free += 1;
    const next = [...this.#waiting].find((waiting) => this.#tryTake(waiting.kind));
    next?.give();
  }
}
