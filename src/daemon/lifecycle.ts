/** Things that were started, to be stopped in reverse order. */
import type { Logger } from '../core/logger.js';

export class Lifecycle {
  readonly #stops: { name: string; stop: () => Promise<void> | void }[] = [];

  constructor(private readonly log: Logger) {}

  /** Notes how to stop what has just been started. */
  started(name: string, stop: () => Promise<void> | void): void {
    this.#stops.push({ name, stop });
    this.log.debug('started', { part: name });
  }

  /** Stops everything, also when a part fails to stop; idempotent. */
  async stopAll(): Promise<void> {
    for (let part = this.#stops.pop(); part !== undefined; part = this.#stops.pop()) {
      try {
        await part.stop();
        this.log.debug('stopped', { part: part.name });
      } catch (error) {
        this.log.error('a part did not stop cleanly', { part: part.name, error: String(error) });
      }
    }
  }
}
