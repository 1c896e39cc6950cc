/** A number of places; whoever finds none free waits, first come, first served. */
import { AurochsError } from './errors.js';

export class Slots {
  readonly #waiting = new Set<() => void>(); // In order of arrival; a call gives the place.
  #free: number;

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves to what gives the place back, to be called once. ABORTED when the signal comes first. */
  async take(signal: AbortSignal): Promise<() => void> {
    const given = !signal.aborted && (this.#takeFree() || (await this.#turn(signal)));
    if (!given) throw new AurochsError('ABORTED', 'given up while it waited for its turn');
    return () => this.#give();
  }

  #takeFree(): boolean {
    if (this.#free === 0) return false;
    this.#free -= 1;
    return true;
  }

  /** True with a place, false when the signal has come before. */
  #turn(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (given: boolean): void => {
        signal.removeEventListener('abort', giveUp);
        this.#waiting.delete(give);
        resolve(given);
      };
      const give = (): void => settle(true);
      const giveUp = (): void => settle(false);
      signal.addEventListener('abort', giveUp);
      this.#waiting.add(give);
    });
  }

  #give(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#free += 1;
    else next();
  }
}
