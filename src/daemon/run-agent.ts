/** `aurochs agent`: runs until a signal ends it. */
import { SHUTDOWN_DEADLINE_MS } from '../core/limits.js';
import { toAurochsError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import { startAgent, type Agent } from './agent.js';
import { resolveConfig, surroundings, type AgentOptions } from './config.js';
import { createLogger } from './winston-logger.js';

export type { AgentOptions } from './config.js';

const EXIT_FAILURE = 1;

/**
 * Resolves after a clean shutdown on SIGTERM or SIGINT. Rejects with an AurochsError for a person when the agent
 * cannot be started; the caller prints it and chooses the exit code.
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  const config = resolveConfig(options, surroundings());
  const log = createLogger(config.logFormat, config.logLevel);
  crashOnBugs(log);
  const stopped = signalled(log);
  const agent = await startAgent(config, log);
  await stopped;
  await stopInTime(agent, log);
}

/** Crash only: a state that nobody foresaw is left at once, and the next start finds its way. */
function crashOnBugs(log: Logger): void {
  const crash = (what: string) => (thrown: unknown) => {
    const error = toAurochsError(thrown);
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    log.error(`${what}; the agent ends`, { code: error.code, error: error.message, stack });
    process.exit(EXIT_FAILURE);
  };
  process.on('uncaughtException', crash('an error that nobody caught'));
  process.on('unhandledRejection', crash('a rejection that nobody handled'));
  process.stderr.on('error', () => {}); // Whoever read the log is gone; the volumes are not.
}

function signalled(log: Logger): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        log.info('agent is asked to stop', { signal });
        resolve();
      });
    }
  });
}

async function stopInTime(agent: Agent, log: Logger): Promise<void> {
  const deadline = setTimeout(() => {
    log.error('the agent did not stop in time and is cut off; nothing that was flushed is lost', {
      deadlineMs: SHUTDOWN_DEADLINE_MS,
    });
    process.exit(EXIT_FAILURE);
  }, SHUTDOWN_DEADLINE_MS);
  await agent.stop();
  clearTimeout(deadline);
}
