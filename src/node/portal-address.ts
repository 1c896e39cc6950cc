/** Where to connect to reach what listens at an address. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

import { AurochsError } from '../core/errors.js';
import { parseHostPort } from '../volume/exports.js';

/** A listener on every address is reached at loopback. */
const LOOPBACK_OF: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** "127.0.0.1:3260", "[::1]:3260": numeric, as the kernel and open-iscsi show it. */
export async function connectAddress(listener: string): Promise<string> {
  const parsed = parseHostPort(listener);
  if (parsed === null) {
    throw new AurochsError('INVALID_ARGUMENT', `${listener} is not an address HOST:PORT`);
  }
  const numeric = isIP(parsed.host) === 0 ? (await lookup(parsed.host)).address : parsed.host;
  const host = LOOPBACK_OF[numeric] ?? numeric;
  return `${host.includes(':') ? `[${host}]` : host}:${parsed.port}`;
}
