/**
 * What the agent tells the service manager that started it, as sd_notify(3) has it: when it serves, how it
 * is, and that it is not hung. Without a service manager (no NOTIFY_SOCKET) every word goes nowhere.
 */
import type { Clock, Timer } from '../core/clock.js';
import type { Logger } from '../core/logger.js';

export interface ServiceManagerDeps {
  /** Sends lines of NAME=value; false when nobody listens. May throw. */
  notify: (state: string) => boolean;
  /** Resolves when every loop of the data path has answered; while one hangs, not at all. */
  ping: () => Promise<void>;
  /** Volumes that are served now. */
  volumesServed: () => number;
  /** How long the service manager waits for a sign of life before it restarts the agent; null: it does not. */
  watchdogMs: number | null;
  clock: Clock;
  log: Logger;
}

export class ServiceManager {
  #timer: Timer | null = null;
  #stopped = false;

  constructor(private readonly deps: ServiceManagerDeps) {}

  /** Everything that the store knows is opened or being opened, and the listeners listen. */
  ready(): void {
    this.#tell('READY=1', this.#status());
    if (this.deps.watchdogMs !== null) this.#beatLater(this.deps.watchdogMs);
  }

  /** Ends the signs of life: a stop has a deadline of its own, and the data path stops answering. */
  stopping(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#tell('STOPPING=1', 'STATUS=closing volumes');
  }

  /** After half of the time, as sd_watchdog_enabled(3) advises: one late beat is not yet the last. */
  #beatLater(watchdogMs: number): void {
    this.#timer = this.deps.clock.after(watchdogMs / 2, () => void this.#beat(watchdogMs));
  }

  /**
   * A sign of life needs both sides: this runs only while JavaScript runs, and the answer comes only when
   * no loop of the data path hangs. While one does there is no next beat, and the service manager acts.
   */
  async #beat(watchdogMs: number): Promise<void> {
    const { clock, log, ping } = this.deps;
    const waitedMs = watchdogMs / 4;
    const late = clock.after(waitedMs, () => {
      log.error('the data path does not answer', { waitedMs, restartAfterMs: watchdogMs });
      this.#tell('STATUS=the data path does not answer');
    });
    try {
      await ping();
    } catch (error) {
      // Closed, or broken: either way it does not serve, and must not be called alive.
      if (!this.#stopped) log.error('the data path cannot be asked', { error: String(error) });
      return;
    } finally {
      late.cancel();
    }
    if (this.#stopped) return;
    this.#tell('WATCHDOG=1', this.#status());
    this.#beatLater(watchdogMs);
  }

  #status(): string {
    const count = this.deps.volumesServed();
    return `STATUS=serving ${count} ${count === 1 ? 'volume' : 'volumes'}`;
  }

  #tell(...lines: string[]): void {
    try {
      this.deps.notify(lines.join('\n'));
    } catch (error) {
      // A sign of life that does not arrive is the service manager's to act upon.
      this.deps.log.warn('the service manager cannot be told', { error: String(error) });
    }
  }
}

/** What sd_watchdog_enabled(3) reads: the time is this process's only when the PID is, or is not given. */
export function watchdogMsOf(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): number | null {
  const { WATCHDOG_USEC: usec, WATCHDOG_PID: watched } = env;
  if (usec === undefined || !/^[1-9]\d*$/.test(usec)) return null;
  if (watched !== undefined && Number(watched) !== pid) return null;
  return Number(usec) / 1000;
}
