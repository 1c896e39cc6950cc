/** Which socket the agent is reached at. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { defaultDataDir, defaultRunDir, surroundings } from '../daemon/config.js';

/** What the environment says; nothing when it says nothing. */
export function apiSocketOf(env: NodeJS.ProcessEnv): string | undefined {
  return env['AUROCHS_API_SOCKET'] || undefined;
}

/**
 * The flag, else the environment, else where an agent of this user listens when nobody says otherwise, else
 * that of the machine.
 */
export function findApiSocket(said: string | undefined, env: NodeJS.ProcessEnv): string {
  const named = said ?? apiSocketOf(env);
  if (named !== undefined) return named;
  const around = { ...surroundings(), env };
  const own = usualSocket(around);
  const ofMachine = usualSocket({ ...around, isRoot: true });
  return !existsSync(own) && existsSync(ofMachine) ? ofMachine : own;
}

function usualSocket(around: ReturnType<typeof surroundings>): string {
  return join(defaultRunDir(around, defaultDataDir(around)), 'api.sock');
}
