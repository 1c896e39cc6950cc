/** Where things are when nobody says otherwise. */
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

export function defaultApiSocket(env: NodeJS.ProcessEnv): string {
  if (process.getuid?.() === 0) return '/run/aurochs/api.sock';
  return join(env['XDG_RUNTIME_DIR'] || tmpdir(), 'aurochs', 'api.sock');
}

export function defaultDataDirectory(env: NodeJS.ProcessEnv): string {
  if (process.getuid?.() === 0) return '/var/lib/aurochs';
  return join(env['XDG_STATE_HOME'] || join(homedir(), '.local/state'), 'aurochs');
}
