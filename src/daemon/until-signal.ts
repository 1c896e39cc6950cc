/** A process that runs until a signal ends it. */
import { toAurochsError } from '../core/errors.js';
import { SHUTDOWN_DEADLINE_MS } from '../core/limits.js';
import type { Logger } from '../core/logger.js';

const EXIT_FAILURE = 1;

/** Crash only: a state that nobody foresaw is left at once, and the next start finds its way. */
export function crashOnBugs(who: string, log: Logger): void {
  const crash = (what: string) => (thrown: unknown) => {
    const error = toAurochsError(thrown);
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    log.error(`${what}; the ${who} ends`, { code: error.code, error: error.message, stack });
    process.exit(EXIT_FAILURE);
  };
  process.on('uncaughtException', crash('an error that nobody caught'));
  process.on('unhandledRejection', crash('a rejection that nobody handled'));
  process.stderr.on('error', () => {}); // Whoever read the log is gone; the volumes are not.
}

/** Resolves at the first SIGTERM or SIGINT. */
export function signalled(who: string, log: Logger): Promise<void> {
  let isAsked = false; // A terminal and npm may both send one.
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (!isAsked) log.info(`${who} is asked to stop`, { signal });
        isAsked = true;
        resolve();
      });
    }
  });
}

export async function stopInTime(
  who: string,
  stop: () => Promise<void>,
  log: Logger,
): Promise<void> {
  const deadline = setTimeout(() => {
    log.error(`the ${who} did not stop in time and is cut off; nothing that was flushed is lost`, {
      deadlineMs: SHUTDOWN_DEADLINE_MS,
    });
    process.exit(EXIT_FAILURE);
  }, SHUTDOWN_DEADLINE_MS);
  await stop();
  clearTimeout(deadline);
}
