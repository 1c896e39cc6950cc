/**
 * The node record of a volume: what open-iscsi logs in with. `iscsiadm -o new` makes it out of the machine's
 * defaults and knows where it belongs; the settings are then written into the file, all at once. Not with
 * `iscsiadm -o update -v`: a command line is visible to every user of the machine, and the CHAP secrets are
 * among the settings. open-iscsi reads the file anew for each login, and iscsid when it restarts.
 */
import { randomUUID } from 'node:crypto';
import { access, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { AurochsError } from '../core/errors.js';
import {
  DEVICE_OUTAGE_S_MAX,
  ISCSI_LOGIN_ATTEMPTS_MAX,
  ISCSI_LOGIN_TIMEOUT_S,
  ISCSI_NOOP_INTERVAL_S,
  ISCSI_NOOP_TIMEOUT_S,
} from '../core/limits.js';
import type { ChapSettings } from '../volume/model.js';
import type { Host } from './host-namespaces.js';

/** Where open-iscsi keeps its records: Debian's place, then that of the others. */
const NODE_FOLDERS = ['/etc/iscsi/nodes', '/var/lib/iscsi/nodes'];

/** What open-iscsi's parser has room for, without the final zero. */
const CHAP_VALUE_BYTES_MAX = 255;

/** A null takes the setting out of the record. */
export type RecordSettings = ReadonlyMap<string, string | null>;

export function recordSettings(volume: string, chap: ChapSettings | null): RecordSettings {
  return new Map<string, string | null>([
    // The agent decides when to log in and what to look at; nothing happens by itself at a boot.
    ['node.startup', 'manual'],
    ['node.session.scan', 'manual'],
    ['node.session.timeo.replacement_timeout', String(DEVICE_OUTAGE_S_MAX)],
    ['node.session.initial_login_retry_max', String(ISCSI_LOGIN_ATTEMPTS_MAX)],
    ['node.conn[0].timeo.login_timeout', String(ISCSI_LOGIN_TIMEOUT_S)],
    ['node.conn[0].timeo.noop_out_interval', String(ISCSI_NOOP_INTERVAL_S)],
    ['node.conn[0].timeo.noop_out_timeout', String(ISCSI_NOOP_TIMEOUT_S)],
    ['node.session.auth.authmethod', chap === null ? 'None' : 'CHAP'],
    ['node.session.auth.username', checked(volume, chap?.user)],
    ['node.session.auth.password', checked(volume, chap?.secret)],
    ['node.session.auth.username_in', checked(volume, chap?.mutualUser)],
    ['node.session.auth.password_in', checked(volume, chap?.mutualSecret)],
  ]);
}

/** A record is a line for each value, without quoting, and blanks at the ends are dropped. */
function checked(volume: string, value: string | undefined): string | null {
  if (value === undefined) return null;
  const fits = Buffer.byteLength(value) <= CHAP_VALUE_BYTES_MAX;
  if (fits && value === value.trim() && !/\p{Cc}/u.test(value)) return value;
  throw new AurochsError(
    'INVALID_ARGUMENT',
    `volume ${volume}: open-iscsi cannot take its CHAP user or secret`,
    `Choose one of at most ${CHAP_VALUE_BYTES_MAX} bytes without control characters and without blanks at its ends: aurochs volume set.`,
  );
}

/** The record with the settings in the place of what it said. */
export function withSettings(record: string, settings: RecordSettings): string {
  const kept = record.split('\n').filter((line) => {
    const name = line.split('=')[0]?.trim() ?? '';
    return name !== '' && !settings.has(name) && !name.startsWith('#');
  });
  const set = [...settings].flatMap(([name, value]) =>
    value === null ? [] : [`${name} = ${value}`],
  );
  return ['# BEGIN RECORD', ...kept, ...set, '# END RECORD', ''].join('\n');
}

export class IscsiRecords {
  constructor(private readonly host: Host) {}

  async exist(target: string): Promise<boolean> {
    return (await this.#folders(target)).length > 0;
  }

  /** Writes the settings into the record that `iscsiadm -o new` has just made. */
  async write(target: string, settings: RecordSettings): Promise<void> {
    const [record] = await this.#files(target);
    if (record === undefined) {
      throw new AurochsError(
        'UNSUPPORTED',
        `${target}: open-iscsi keeps its records neither in ${NODE_FOLDERS.join(' nor in ')}`,
        'Attach with --frontend nbd.',
      );
    }
    const text = withSettings(await readFile(record, 'utf8'), settings);
    // Beside the folder of the records, as iscsiadm takes every file within for one.
    const folder = NODE_FOLDERS.map((path) => this.host.path(path)).find((path) =>
      record.startsWith(`${path}/`),
    );
    const temporary = join(dirname(folder ?? ''), `.aurochs-${randomUUID()}`);
    await writeFile(temporary, text, { mode: 0o600, flag: 'wx' });
    await rename(temporary, record);
  }

  /** Files of length zero (a full file system, a power cut) make iscsiadm fail, even to delete them. */
  async removeBroken(target: string): Promise<void> {
    for (const file of await this.#files(target)) {
      if ((await stat(file)).size === 0) await rm(file);
    }
  }

  /**
   * Removes what `iscsiadm -o delete` leaves: folders, files that it does not take for records, and links to
   * records that are gone (`static`, beside `nodes`, is its list of what was made without discovery).
   */
  async remove(target: string): Promise<void> {
    for (const folder of await this.#folders(target)) {
      await rm(folder, { recursive: true });
      const links = join(dirname(dirname(folder)), 'static');
      for (const name of await readdir(links).catch(() => [])) {
        if (name.startsWith(`${target},`)) await rm(join(links, name));
      }
    }
  }

  async #folders(target: string): Promise<string[]> {
    const paths = NODE_FOLDERS.map((folder) => this.host.path(join(folder, target)));
    const there = await Promise.all(paths.map((path) => exists(path)));
    return paths.filter((_, index) => there[index]);
  }

  /** <nodes>/<target>/<address>,<port>,<group>/<interface> */
  async #files(target: string): Promise<string[]> {
    const files: string[] = [];
    for (const folder of await this.#folders(target)) {
      for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
        if (entry.isFile()) files.push(join(entry.parentPath, entry.name));
      }
    }
    return files;
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
