/** `aurochs agent`: runs until a signal ends it. */
import { startAgent } from './agent.js';
import { resolveConfig, surroundings, type AgentOptions } from './config.js';
import { crashOnBugs, signalled, stopInTime } from './until-signal.js';
import { createLogger } from './winston-logger.js';

export type { AgentOptions } from './config.js';

/**
 * Resolves after a clean shutdown on SIGTERM or SIGINT. Rejects with an AurochsError for a person when the agent
 * cannot be started; the caller prints it and chooses the exit code.
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  const config = resolveConfig(options, surroundings());
  const log = createLogger(config.logFormat, config.logLevel);
  crashOnBugs('agent', log);
  const stopped = signalled('agent', log);
  const agent = await startAgent(config, log);
  await stopped;
  await stopInTime('agent', () => agent.stop(), log);
}
