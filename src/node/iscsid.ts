/** The daemon of open-iscsi: is it there, and what to do when it is not. */
import type { Machine } from './machine.js';

/** iscsid, or the systemd socket that starts it, listens on this abstract UNIX socket. */
const ISCSID_SOCKET = '@ISCSIADM_ABSTRACT_NAMESPACE';

export const ISCSID_START_HINT = 'systemctl enable --now iscsid.socket';
export const OPEN_ISCSI_INSTALL_HINT = 'apt-get install open-iscsi';

/** `unixSockets` is the list of a network namespace: abstract sockets belong to one. */
export async function initiatorListens(machine: Machine, unixSockets: string): Promise<boolean> {
  return (await machine.readText(unixSockets))?.includes(ISCSID_SOCKET) ?? false;
}
