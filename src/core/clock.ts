/** Time as a port, so that tests decide when it passes. */
export interface Clock {
  /** Milliseconds since 1970. */
  nowUnixMs(): number;
  /** Calls `callback` once after `delayMs` unless cancelled. Never keeps the process alive. */
  after(delayMs: number, callback: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

export const systemClock: Clock = {
  nowUnixMs: () => Date.now(),
  after(delayMs, callback) {
    const timeout = setTimeout(callback, delayMs);
    timeout.unref();
    return { cancel: () => clearTimeout(timeout) };
  },
};
