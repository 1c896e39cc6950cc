/** Time that passes when a test says so. */
import type { Clock, Timer } from '../../src/core/clock.js';

export class ManualClock implements Clock {
  now = 0;
  readonly timers = new Set<{ at: number; callback: () => void }>();
  nowUnixMs(): number {
    return this.now;
  }
  after(delayMs: number, callback: () => void): Timer {
    const timer = { at: this.now + delayMs, callback };
    this.timers.add(timer);
    return { cancel: () => this.timers.delete(timer) };
  }
  pass(ms: number): void {
    this.now += ms;
    for (const timer of [...this.timers]) {
      if (timer.at <= this.now && this.timers.delete(timer)) timer.callback();
    }
  }
}
