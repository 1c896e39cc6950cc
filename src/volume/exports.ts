/** How volumes are offered: addresses, the configuration of an export, and what may be offered where. */
import { AurochsError } from '../core/errors.js';
import { serialOf } from '../core/ids.js';
import { invariant } from '../core/invariant.js';
import { targetName } from './names.js';
import { type ExportAddress, formOf, type Frontend, type Volume } from './model.js';
import type { IscsiAccess, IscsiExportConfig, NbdExportConfig } from './ports.js';

/** Where this agent listens. Addresses are "HOST:PORT", "[HOST]:PORT" or "unix:PATH". */
export interface ListenAddresses {
  iscsi: readonly string[];
  nbd: readonly string[];
  /** NBD over TCP asks every client for a certificate and checks it. */
  nbdClientsVerified: boolean;
  /** The agent listens there; before that no initiator can be told to come. */
  listening: boolean;
}

export const FRONTENDS: readonly Frontend[] = ['iscsi', 'nbd'];
export const FRONTEND_WORD: Readonly<Record<Frontend, string>> = { iscsi: 'iSCSI', nbd: 'NBD' };

export interface HostPort {
  host: string;
  port: number;
}

/** "HOST:PORT" with a numeric host in brackets for IPv6; null if it is something else. */
export function parseHostPort(address: string): HostPort | null {
  const match = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^[\]:\s]+)):(\d{1,5})$/.exec(address);
  if (match === null) return null;
  const host = match[1] ?? match[2] ?? '';
  const port = Number(match[3]);
  return port <= 65535 ? { host, port } : null;
}

/** True for UNIX sockets and for addresses that only this machine can reach. */
export function isLocalOnly(address: string): boolean {
  if (address.startsWith('unix:')) return true;
  const host = parseHostPort(address)?.host.toLowerCase();
  if (host === undefined) return false;
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}

export function listensFor(frontend: Frontend, listen: ListenAddresses): boolean {
  return (frontend === 'iscsi' ? listen.iscsi : listen.nbd).length > 0;
}

/** Why the volume must not be offered through the frontend; null if it may be. */
export function refusalToExport(
  volume: Volume,
  frontend: Frontend,
  listen: ListenAddresses,
): AurochsError | null {
  if (!listensFor(frontend, listen)) {
    const flag = frontend === 'iscsi' ? '--iscsi-portal' : '--nbd-listen';
    return new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${volume.name}: this agent has no ${frontend === 'iscsi' ? 'iSCSI portal' : 'NBD listener'}`,
      `Start the agent with ${flag}, or attach with another frontend.`,
    );
  }
  if (frontend === 'iscsi') {
    const remote = listen.iscsi.find((address) => !isLocalOnly(address));
    if (remote === undefined || (volume.chap !== null && volume.initiators.length > 0)) return null;
    return new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${volume.name}: the iSCSI portal ${remote} can be reached from other machines, and the volume has no ${
        volume.chap === null ? 'CHAP secret' : 'list of initiators'
      }`,
      'Give it both (aurochs volume set --chap-user … --chap-secret-file … --initiator …), or start the agent with --iscsi-portal on a loopback address.',
    );
  }
  const remote = listen.nbd.find((address) => !isLocalOnly(address));
  if (remote === undefined || listen.nbdClientsVerified) return null;
  return new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${volume.name}: the NBD listener ${remote} can be reached from other machines without a client certificate`,
    'Start the agent with --nbd-tls-cert, --nbd-tls-key and --nbd-tls-client-ca, or with --nbd-listen on a loopback address.',
  );
}

export function iscsiAccess({ chap, initiators }: Volume): IscsiAccess {
  const mutual =
    chap?.mutualUser !== undefined && chap.mutualSecret !== undefined
      ? { user: chap.mutualUser, secret: chap.mutualSecret }
      : null;
  return {
    chap: chap === null ? null : { user: chap.user, secret: chap.secret },
    mutualChap: mutual,
    initiators,
  };
}

export function iscsiConfig(volume: Volume): IscsiExportConfig {
  return {
    ...formOf(volume.desired),
    targetName: targetName(volume.name),
    serial: serialOf(volume.id),
    access: iscsiAccess(volume),
  };
}

export function nbdConfig(volume: Volume): NbdExportConfig {
  return {
    name: volume.name,
    description: `Aurochs volume ${volume.id}`,
    readOnly: volume.desired.readOnly,
  };
}

function nbdUri(address: string, name: string, tls: boolean): string {
  const scheme = tls ? 'nbds' : 'nbd';
  if (!address.startsWith('unix:')) return `${scheme}://${address}/${name}`;
  const socket = encodeURIComponent(address.slice('unix:'.length)).replaceAll('%2F', '/');
  return `nbd+unix:///${name}?socket=${socket}`;
}

/** The addresses of what is offered, in the order of the listeners. */
export function exportAddresses(
  volume: string,
  offered: ReadonlySet<Frontend>,
  listen: ListenAddresses,
): ExportAddress[] {
  const addresses: ExportAddress[] = [];
  if (offered.has('iscsi')) {
    const name = targetName(volume);
    for (const address of listen.iscsi) {
      addresses.push({ frontend: 'iscsi', uri: `iscsi://${address}/${name}/1`, address, name });
    }
  }
  if (offered.has('nbd')) {
    for (const address of listen.nbd) {
      const uri = nbdUri(address, volume, listen.nbdClientsVerified);
      addresses.push({ frontend: 'nbd', uri, address, name: volume });
    }
  }
  return addresses;
}

/** Where this machine itself reaches the volume: a UNIX socket, else loopback, else what there is. */
export function addressForDevice(
  volume: string,
  frontend: Frontend,
  listen: ListenAddresses,
): ExportAddress {
  const all = exportAddresses(volume, new Set([frontend]), listen);
  const best =
    all.find(({ address }) => address.startsWith('unix:')) ??
    all.find(({ address }) => isLocalOnly(address)) ??
    all[0];
  invariant(best !== undefined, `${volume}: is exported over ${frontend}`);
  return best;
}
