/** Which socket the agent is reached at. */
import { join } from 'node:path';

import { defaultDataDir, defaultRunDir, surroundings } from '../daemon/config.js';

/** What the environment says; nothing when it says nothing. */
export function apiSocketOf(env: NodeJS.ProcessEnv): string | undefined {
  return env['AUROCHS_API_SOCKET'] || undefined;
}

/** The flag, else the environment, else where an agent of this user listens when nobody says otherwise. */
export function findApiSocket(said: string | undefined, env: NodeJS.ProcessEnv): string {
  const around = { ...surroundings(), env };
  return (
    said ?? apiSocketOf(env) ?? join(defaultRunDir(around, defaultDataDir(around)), 'api.sock')
  );
}
