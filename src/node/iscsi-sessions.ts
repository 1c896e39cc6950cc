/** The kernel's iSCSI sessions and their disks, as sysfs shows them. */
import type { Sysfs } from './sysfs.js';

const SESSIONS = '/sys/class/iscsi_session';
const CONNECTIONS = '/sys/class/iscsi_connection';

/** The only logical unit of a target of ours. */
export const LUN = 1;

export interface IscsiSession {
  /** "1", as in iscsiadm -r. */
  id: string;
  target: string;
  /** "127.0.0.1:3260", brackets around IPv6; where it was told to connect, and will again. */
  portal: string;
  /** LOGGED_IN, FAILED (connection lost, being made anew), FREE. */
  state: string;
}

export class IscsiSessions {
  constructor(private readonly sysfs: Sysfs) {}

  async ofTarget(target: string): Promise<IscsiSession[]> {
    const sessions: IscsiSession[] = [];
    for (const name of await this.sysfs.list(SESSIONS)) {
      const id = /^session(\d+)$/.exec(name)?.[1];
      if (id === undefined) continue;
      if ((await this.sysfs.read(`${SESSIONS}/${name}/targetname`)) !== target) continue;
      sessions.push({
        id,
        target,
        portal: await this.#portal(id),
        state: (await this.sysfs.read(`${SESSIONS}/${name}/state`)) ?? 'FREE',
      });
    }
    return sessions;
  }

  /** "sda" of LUN 1; null while the kernel has none. */
  async disk(session: IscsiSession): Promise<string | null> {
    const device = `${SESSIONS}/session${session.id}/device`;
    for (const target of await this.sysfs.list(device)) {
      if (!/^target\d+:\d+:\d+$/.test(target)) continue;
      for (const unit of await this.sysfs.list(`${device}/${target}`)) {
        if (!/^\d+:\d+:\d+:\d+$/.test(unit) || !unit.endsWith(`:${LUN}`)) continue;
        const [name] = await this.sysfs.list(`${device}/${target}/${unit}/block`);
        if (name !== undefined) return name;
      }
    }
    return null;
  }

  /** Makes the kernel look at LUN 1 and nothing else; it returns when it has looked. */
  async scan(session: IscsiSession): Promise<void> {
    // "../../devices/platform/host2/session1/iscsi_session/session1"
    const place = await this.sysfs.readLink(`${SESSIONS}/session${session.id}`);
    const host = /\/(host\d+)\//.exec(place ?? '')?.[1];
    if (host === undefined) return; // The session has just ended; then no disk appears.
    await this.sysfs.write(`/sys/class/scsi_host/${host}/scan`, `0 0 ${LUN}`);
  }

  async #portal(sessionId: string): Promise<string> {
    const connection = `${CONNECTIONS}/connection${sessionId}:0`;
    const address = (await this.sysfs.read(`${connection}/persistent_address`)) ?? '';
    const port = (await this.sysfs.read(`${connection}/persistent_port`)) ?? '';
    return `${address.includes(':') ? `[${address}]` : address}:${port}`;
  }
}
