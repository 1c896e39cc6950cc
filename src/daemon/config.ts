/** What the agent is told by its flags and surroundings, checked before anything is started. */
import { readFileSync, statSync } from 'node:fs';
import { availableParallelism, homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { AurochsError } from '../core/errors.js';
import { CONFIG_FILE_BYTES_MAX, LISTENERS_MAX, LOOPS_MAX } from '../core/limits.js';
import { LOG_LEVELS, type LogLevel } from '../core/logger.js';
import { isLocalOnly, parseHostPort } from '../volume/exports.js';
import { checkNodeName, checkZone, usableTags } from '../volume/labels.js';
import type { ChapSettings } from '../volume/model.js';
import { checkChap } from '../volume/names.js';
import { AGENT_CSI_FLAGS, type CsiConfig, resolveCsiConfig } from './csi-config.js';

/** The flags of `aurochs agent`, as yargs names them; all are optional. */
export interface AgentOptions {
  dataDir?: string | undefined;
  runDir?: string | undefined;
  iscsiPortal?: string | string[] | undefined;
  nbdListen?: string | string[] | undefined;
  apiSocket?: string | undefined;
  apiSocketGroup?: string | undefined;
  logFormat?: string | undefined;
  logLevel?: string | undefined;
  ioBackend?: string | undefined;
  loops?: number | undefined;
  lockMemory?: boolean | undefined;
  nbdTlsCert?: string | undefined;
  nbdTlsKey?: string | undefined;
  nbdTlsClientCa?: string | undefined;
  nbdTls?: string | undefined;
  discoveryChapFile?: string | undefined;
  nodeName?: string | undefined;
  zone?: string | undefined;
  nodeTag?: string | string[] | undefined;
  csiEndpoint?: string | undefined;
  csiMode?: string | undefined;
  csiNodeId?: string | undefined;
  csiMetricsListen?: string | undefined;
}

export const LOG_FORMATS = ['text', 'json'] as const;
export const NBD_TLS_MODES = ['required', 'optional'] as const;
export const IO_BACKENDS = ['auto', 'io_uring', 'epoll'] as const;

export interface AgentConfig {
  dataDir: string;
  runDir: string;
  iscsiPortals: string[];
  nbdListeners: string[];
  apiSocket: string;
  /** Members may use the API socket besides its owner. */
  apiSocketGroup: string | null;
  logFormat: (typeof LOG_FORMATS)[number];
  logLevel: LogLevel;
  ioBackend: (typeof IO_BACKENDS)[number];
  loops: number;
  /** Keep the data path's memory from being swapped out. */
  lockMemory: boolean;
  nbdTls: {
    certificateFile: string;
    keyFile: string;
    clientCaFile: string;
    /** Else clients may go without. */
    required: boolean;
  } | null;
  discoveryChap: ChapSettings | null;
  /** Null: as it is called, which is as its host at the first start. */
  nodeName: string | null;
  zone: string | null;
  nodeTags: string[];
  /** The CSI driver that runs inside the agent. */
  csi: CsiConfig | null;
}

/** What decides about defaults. */
export interface Surroundings {
  isRoot: boolean;
  env: Readonly<Record<string, string | undefined>>;
  home: string;
  processors: number;
}

export function surroundings(): Surroundings {
  return {
    isRoot: process.getuid?.() === 0,
    env: process.env,
    home: homedir(),
    processors: availableParallelism(),
  };
}

export function defaultDataDir({ isRoot, env, home }: Surroundings): string {
  if (isRoot) return '/var/lib/aurochs';
  return join(xdg(env['XDG_STATE_HOME']) ?? join(home, '.local/state'), 'aurochs');
}

/** Without XDG_RUNTIME_DIR (no login session) it is inside the data directory. */
export function defaultRunDir({ isRoot, env }: Surroundings, dataDir: string): string {
  if (isRoot) return '/run/aurochs';
  const runtime = xdg(env['XDG_RUNTIME_DIR']);
  return runtime === null ? join(dataDir, 'run') : join(runtime, 'aurochs');
}

/** Checks every flag; INVALID_ARGUMENT and FAILED_PRECONDITION name it. Reads files, starts nothing. */
export function resolveConfig(options: AgentOptions, around: Surroundings): AgentConfig {
  const dataDir = resolve(options.dataDir ?? defaultDataDir(around));
  const runDir = resolve(options.runDir ?? defaultRunDir(around, dataDir));
  const iscsiPortals = listOf(options.iscsiPortal) ?? ['127.0.0.1:3260'];
  const nbdListeners = listOf(options.nbdListen) ?? [
    '127.0.0.1:10809',
    `unix:${join(runDir, 'nbd.sock')}`,
  ];
  for (const portal of iscsiPortals) checkAddress('--iscsi-portal', portal, false);
  for (const listener of nbdListeners) checkAddress('--nbd-listen', listener, true);
  checkCount('--iscsi-portal', iscsiPortals);
  checkCount('--nbd-listen', nbdListeners);
  const nbdTls = tlsOf(options);
  refuseOpenNbd(nbdListeners, nbdTls);
  const { nodeName = null, zone = null } = options;
  if (nodeName !== null) checkNodeName(nodeName);
  if (zone !== null) checkZone(zone);
  const discoveryChap =
    options.discoveryChapFile === undefined ? null : readChapFile(options.discoveryChapFile);
  refuseOpenDiscovery(iscsiPortals, discoveryChap);
  return {
    dataDir,
    runDir,
    iscsiPortals,
    nbdListeners,
    apiSocket: resolve(options.apiSocket ?? join(runDir, 'api.sock')),
    apiSocketGroup: options.apiSocketGroup ?? null,
    logFormat: oneOf('--log-format', options.logFormat ?? 'text', LOG_FORMATS),
    logLevel: oneOf('--log-level', options.logLevel ?? 'info', LOG_LEVELS),
    ioBackend: oneOf('--io-backend', options.ioBackend ?? 'auto', IO_BACKENDS),
    loops: loopsOf(options.loops ?? Math.min(around.processors, LOOPS_MAX)),
    lockMemory: options.lockMemory ?? false,
    nbdTls,
    discoveryChap,
    nodeName,
    zone,
    nodeTags: usableTags('node tag', listOf(options.nodeTag) ?? []),
    csi: csiOf(options),
  };
}

function csiOf(options: AgentOptions): CsiConfig | null {
  const { csiEndpoint, csiMode, csiNodeId, csiMetricsListen } = options;
  if (csiEndpoint === undefined) return null;
  const said = { mode: csiMode, nodeId: csiNodeId, metricsListen: csiMetricsListen };
  return resolveCsiConfig({ endpoint: csiEndpoint, ...said }, AGENT_CSI_FLAGS);
}

function invalid(message: string, hint: string): AurochsError {
  return new AurochsError('INVALID_ARGUMENT', message, hint);
}

/** The XDG specification says that a relative path is to be ignored. */
function xdg(path: string | undefined): string | null {
  return path !== undefined && isAbsolute(path) ? path : null;
}

function listOf(value: string | string[] | undefined): string[] | null {
  if (value === undefined) return null;
  const list = Array.isArray(value) ? value : [value];
  return list.length === 0 ? null : list;
}

function checkAddress(flag: string, address: string, allowUnix: boolean): void {
  if (allowUnix && address.startsWith('unix:')) {
    if (isAbsolute(address.slice('unix:'.length))) return;
    throw invalid(
      `${flag} ${address}: the path is not absolute`,
      'For example unix:/run/aurochs/nbd.sock.',
    );
  }
  if (parseHostPort(address) !== null) return;
  const forms = allowUnix ? 'HOST:PORT, [IPV6]:PORT or unix:PATH' : 'HOST:PORT or [IPV6]:PORT';
  throw invalid(
    `${flag} ${address}: is not an address`,
    `Write ${forms}; port 0 takes a free one.`,
  );
}

function checkCount(flag: string, addresses: string[]): void {
  if (addresses.length <= LISTENERS_MAX) return;
  throw new AurochsError('LIMIT_EXCEEDED', `${flag} is given more than ${LISTENERS_MAX} times`);
}

function oneOf<T extends string>(flag: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === value);
  if (found !== undefined) return found;
  throw invalid(`${flag} ${value}: is not known`, `Use one of ${allowed.join(', ')}.`);
}

function loopsOf(loops: number): number {
  if (Number.isInteger(loops) && loops >= 1 && loops <= LOOPS_MAX) return loops;
  throw invalid(`--loops ${loops}: is out of range`, `Use 1 to ${LOOPS_MAX}.`);
}

function tlsOf(options: AgentOptions): AgentConfig['nbdTls'] {
  const { nbdTlsCert, nbdTlsKey, nbdTlsClientCa, nbdTls } = options;
  if ([nbdTlsCert, nbdTlsKey, nbdTlsClientCa, nbdTls].every((each) => each === undefined)) {
    return null;
  }
  if (nbdTlsCert === undefined || nbdTlsKey === undefined) {
    throw invalid(
      'NBD over TLS needs a certificate and its key',
      'Give both --nbd-tls-cert and --nbd-tls-key.',
    );
  }
  return {
    certificateFile: resolve(nbdTlsCert),
    keyFile: resolve(nbdTlsKey),
    clientCaFile: nbdTlsClientCa === undefined ? '' : resolve(nbdTlsClientCa),
    required: oneOf('--nbd-tls', nbdTls ?? 'required', NBD_TLS_MODES) === 'required',
  };
}

/** Whether every NBD client over TCP has to show a certificate. */
export function verifiesClients(tls: AgentConfig['nbdTls']): boolean {
  return tls !== null && tls.required && tls.clientCaFile !== '';
}

/** NBD has no other way to know its clients, so beyond loopback they must show a certificate. */
function refuseOpenNbd(listeners: string[], tls: AgentConfig['nbdTls']): void {
  const remote = listeners.find((address) => !isLocalOnly(address));
  if (remote === undefined || verifiesClients(tls)) return;
  throw new AurochsError(
    'FAILED_PRECONDITION',
    `--nbd-listen ${remote} can be reached from other machines, and nothing asks clients who they are`,
    'Add --nbd-tls-cert, --nbd-tls-key and --nbd-tls-client-ca without --nbd-tls optional, or listen on a loopback address.',
  );
}

/** Discovery lists volumes by name, so beyond loopback it must know who asks. */
function refuseOpenDiscovery(portals: string[], chap: ChapSettings | null): void {
  const remote = portals.find((address) => !isLocalOnly(address));
  if (remote === undefined || chap !== null) return;
  throw new AurochsError(
    'FAILED_PRECONDITION',
    `--iscsi-portal ${remote} can be reached from other machines, and discovery asks nobody who they are`,
    'Add --discovery-chap-file, or listen on a loopback address.',
  );
}

/** A JSON file that only its owner can read: {"user", "secret", "mutualUser"?, "mutualSecret"?}. */
function readChapFile(path: string): ChapSettings {
  const flag = `--discovery-chap-file ${path}`;
  let text: string;
  try {
    const stat = statSync(path);
    if ((stat.mode & 0o077) !== 0) {
      throw new AurochsError(
        'PERMISSION_DENIED',
        `${flag}: others may read it`,
        `chmod 600 ${path}`,
      );
    }
    if (stat.size > CONFIG_FILE_BYTES_MAX)
      throw invalid(`${flag}: is too large`, 'Is it the right file?');
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof AurochsError) throw error;
    throw invalid(`${flag}: cannot be read: ${(error as Error).message}`, 'Check the path.');
  }
  const chap = chapOf(text);
  if (chap === null) {
    throw invalid(
      `${flag}: is not of the right form`,
      'Write {"user": "…", "secret": "…"}, and "mutualUser" and "mutualSecret" if wanted.',
    );
  }
  checkChap(chap);
  return chap;
}

function chapOf(text: string): ChapSettings | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null; // Without the parser's message: it quotes the file, and so the secret.
  }
  if (typeof value !== 'object' || value === null) return null;
  const { user, secret, mutualUser, mutualSecret, ...rest } = value as Record<string, unknown>;
  if (typeof user !== 'string' || typeof secret !== 'string') return null;
  if (Object.keys(rest).length > 0) return null;
  if (mutualUser === undefined && mutualSecret === undefined) return { user, secret };
  if (typeof mutualUser !== 'string' || typeof mutualSecret !== 'string') return null;
  return { user, secret, mutualUser, mutualSecret };
}
