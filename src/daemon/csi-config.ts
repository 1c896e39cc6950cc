/** What the CSI driver is told by its flags, checked before anything is started. */
import { isAbsolute } from 'node:path';

import { AurochsError } from '../core/errors.js';
import { CSI_SOCKET_PATH_CHARS_MAX } from '../core/limits.js';
import { CSI_MODES, type CsiMode } from '../csi/identity-service.js';
import { parseHostPort } from '../volume/exports.js';

export { CSI_MODES };

/** As the command line has them; each flag has its own name in `aurochs csi` and in `aurochs agent`. */
export interface CsiOptions {
  endpoint: string;
  mode?: string | undefined;
  nodeId?: string | undefined;
  metricsListen?: string | undefined;
}

export interface CsiFlags {
  endpoint: string;
  mode: string;
  metricsListen: string;
}

export interface CsiConfig {
  flags: CsiFlags;
  socketPath: string;
  mode: CsiMode;
  nodeId: string | undefined;
  metrics: { host: string; port: number } | { path: string } | null;
}

export const CSI_FLAGS: CsiFlags = {
  endpoint: '--endpoint',
  mode: '--mode',
  metricsListen: '--metrics-listen',
};
export const AGENT_CSI_FLAGS: CsiFlags = {
  endpoint: '--csi-endpoint',
  mode: '--csi-mode',
  metricsListen: '--csi-metrics-listen',
};

/** INVALID_ARGUMENT names the flag. */
export function resolveCsiConfig(options: CsiOptions, flags: CsiFlags): CsiConfig {
  const socketPath = unixPath(options.endpoint);
  if (socketPath === null) {
    throw invalid(
      `${flags.endpoint} ${options.endpoint}: is not the address of a UNIX socket`,
      `Write unix:///PATH with an absolute path of at most ${CSI_SOCKET_PATH_CHARS_MAX} characters.`,
    );
  }
  const said = options.mode ?? 'all';
  const mode = CSI_MODES.find((each) => each === said);
  if (mode === undefined) {
    throw invalid(`${flags.mode} ${said}: is not known`, `Use one of ${CSI_MODES.join(', ')}.`);
  }
  const metrics =
    options.metricsListen === undefined ? null : metricsAddress(options.metricsListen, flags);
  return { flags, socketPath, mode, nodeId: options.nodeId, metrics };
}

/** The path in "unix:///path" or "unix:/path"; null when it is none that can be used. */
function unixPath(address: string): string | null {
  if (!address.startsWith('unix:')) return null;
  const path = address.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
  if (path.startsWith('//')) return null; // "unix://host", which a URL would mean.
  const isUsable = isAbsolute(path) && Buffer.byteLength(path) <= CSI_SOCKET_PATH_CHARS_MAX;
  return isUsable ? path : null;
}

function metricsAddress(address: string, flags: CsiFlags): CsiConfig['metrics'] {
  const path = unixPath(address);
  if (path !== null) return { path };
  const found = parseHostPort(address);
  if (found !== null) return { host: found.host, port: found.port };
  throw invalid(
    `${flags.metricsListen} ${address}: is not an address`,
    'Write HOST:PORT, [IPV6]:PORT or unix:PATH; port 0 takes a free one.',
  );
}

function invalid(message: string, hint: string): AurochsError {
  return new AurochsError('INVALID_ARGUMENT', message, hint);
}
