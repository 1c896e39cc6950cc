/**
 * Runs iscsiadm, the command of open-iscsi, and translates what it ends with. iscsiadm and iscsid share one
 * database and one socket per host, so calls are made one at a time: in turn within this process, and under
 * flock(1) against other processes of ours. The kernel frees that lock whatever happens to its holder.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { AurochsError, type ErrorCode } from '../core/errors.js';
import type { KeyedMutex } from '../core/keyed-mutex.js';
import {
  ISCSIADM_ATTEMPTS_MAX,
  ISCSIADM_LOCK_TIMEOUT_S,
  ISCSIADM_RETRY_MS,
  ISCSIADM_TIMEOUT_MS,
} from '../core/limits.js';
import { CommandError, type CommandRunner } from './command.js';
import { ISCSID_START_HINT, OPEN_ISCSI_INSTALL_HINT } from './iscsid.js';

interface ExitMeaning {
  code: ErrorCode;
  meaning: string;
  hint?: string;
  /** The same call may succeed a moment later. */
  retry?: true;
}

const BUG_HINT =
  'This is a bug of Aurochs or of open-iscsi: please report it with the log of iscsid.';
const ISCSID_LOG_HINT = 'See the log of iscsid: journalctl -u iscsid';
const PORTAL_HINT =
  'Is the agent up, and does it listen at that address (aurochs volume show NAME)? See journalctl -u iscsid.';

/** Every exit code of iscsiadm(8); a test holds the table to the numbers of include/iscsi_err.h. */
export const ISCSIADM_EXITS: Readonly<Record<number, ExitMeaning>> = {
  1: { code: 'IO', meaning: 'failed for an unnamed reason', hint: ISCSID_LOG_HINT },
  2: { code: 'NOT_FOUND', meaning: 'there is no such session' },
  3: { code: 'UNAVAILABLE', meaning: 'no memory', hint: 'Free memory and repeat.' },
  4: { code: 'UNAVAILABLE', meaning: 'the portal cannot be reached', hint: PORTAL_HINT },
  5: { code: 'FAILED_PRECONDITION', meaning: 'the login failed', hint: ISCSID_LOG_HINT },
  6: {
    code: 'IO',
    meaning: 'the database of node records cannot be used',
    hint: 'Is /etc/iscsi/nodes (or /var/lib/iscsi/nodes) writable, and its file system not full?',
    retry: true,
  },
  7: { code: 'INTERNAL', meaning: 'an argument is not valid', hint: BUG_HINT },
  8: { code: 'UNAVAILABLE', meaning: 'the portal does not answer', hint: PORTAL_HINT },
  9: { code: 'INTERNAL', meaning: 'iscsid or the kernel failed inside', hint: ISCSID_LOG_HINT },
  10: { code: 'IO', meaning: 'the logout failed', hint: ISCSID_LOG_HINT },
  11: { code: 'UNAVAILABLE', meaning: 'the target did not answer in time', hint: PORTAL_HINT },
  12: {
    code: 'UNSUPPORTED',
    meaning: 'the kernel has no iSCSI transport',
    hint: 'modprobe iscsi_tcp; where there is none, attach with --frontend nbd.',
  },
  13: { code: 'PERMISSION_DENIED', meaning: 'not permitted', hint: 'Run the agent as root.' },
  14: { code: 'UNSUPPORTED', meaning: 'the transport cannot do that', hint: BUG_HINT },
  15: { code: 'ALREADY_EXISTS', meaning: 'there is a session already' },
  16: { code: 'INTERNAL', meaning: 'iscsid does not know the request', hint: BUG_HINT },
  17: { code: 'UNSUPPORTED', meaning: 'iSNS is not supported', hint: BUG_HINT },
  18: {
    code: 'UNAVAILABLE',
    meaning: 'iscsid broke the conversation off',
    hint: ISCSID_LOG_HINT,
    retry: true,
  },
  19: {
    code: 'FAILED_PRECONDITION',
    meaning: 'the target refused the login',
    hint: 'Is the volume attached, and is this initiator allowed (aurochs volume show NAME)?',
  },
  20: {
    code: 'UNAVAILABLE',
    meaning: 'iscsid does not run',
    hint: `Start it: ${ISCSID_START_HINT}`,
    retry: true,
  },
  21: { code: 'NOT_FOUND', meaning: 'there is no such record, session or portal' },
  22: { code: 'INTERNAL', meaning: 'sysfs lacks what was asked for', hint: ISCSID_LOG_HINT },
  23: { code: 'NOT_FOUND', meaning: 'there is no such SCSI host' },
  24: {
    code: 'PERMISSION_DENIED',
    meaning: 'the target refused who logs in',
    hint: 'The CHAP user or secret is wrong, or this initiator is not on the list: aurochs volume show NAME.',
  },
  25: { code: 'UNSUPPORTED', meaning: 'an iSNS query failed', hint: BUG_HINT },
  26: { code: 'UNSUPPORTED', meaning: 'an iSNS registration failed', hint: BUG_HINT },
  27: { code: 'UNSUPPORTED', meaning: 'open-iscsi cannot do that', hint: BUG_HINT },
  28: {
    code: 'BUSY',
    meaning: 'in use',
    hint: 'Unmount what is on the device first.',
    retry: true,
  },
  29: { code: 'UNAVAILABLE', meaning: 'not now', hint: 'Try again.', retry: true },
  30: { code: 'INTERNAL', meaning: 'unknown type of discovery', hint: BUG_HINT },
  31: { code: 'UNAVAILABLE', meaning: 'a helper process ended', hint: ISCSID_LOG_HINT },
  32: { code: 'UNAVAILABLE', meaning: 'the session is not connected', hint: PORTAL_HINT },
  33: { code: 'UNAVAILABLE', meaning: 'iscsid did not answer in time', hint: ISCSID_LOG_HINT },
};

/** Not an exit code of iscsiadm: flock(1) was told to use it when the lock stays taken. */
const LOCK_TAKEN = 99;
const LOCK_FILE = '/run/lock/aurochs-iscsiadm.lock';

/** What says that there was nothing to do. */
const SESSION_EXISTS = 15;
const NO_RECORD = 21;
/** Of a session that has just ended: not found, no object, no longer in sysfs. */
const NO_SESSION = [2, 21, 22];

export class Iscsiadm {
  constructor(
    private readonly runner: CommandRunner,
    private readonly mutex: KeyedMutex,
  ) {}

  async createRecord(target: string, portal: string): Promise<void> {
    await this.#run(target, ['-m', 'node', '-o', 'new', '-T', target, '-p', portal]);
  }

  /** All records of the target. */
  async deleteRecords(target: string): Promise<void> {
    await this.#run(target, ['-m', 'node', '-o', 'delete', '-T', target], [NO_RECORD]);
  }

  async login(target: string, portal: string): Promise<void> {
    await this.#run(target, ['-m', 'node', '-T', target, '-p', portal, '-l'], [SESSION_EXISTS]);
  }

  /** By session and not by record, which may be gone. */
  async logout(target: string, sessionId: string): Promise<void> {
    await this.#run(target, ['-m', 'session', '-r', sessionId, '-u'], NO_SESSION);
  }

  /** `alreadySo`: exit codes that say that there was nothing to do. */
  async #run(
    target: string,
    args: readonly string[],
    alreadySo: readonly number[] = [],
  ): Promise<void> {
    for (let attempt = 1; ; ++attempt) {
      try {
        return await this.mutex.run('iscsiadm', () => this.#runLocked(args));
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        if (error.exitCode !== null && alreadySo.includes(error.exitCode)) return;
        const { retry } = ISCSIADM_EXITS[error.exitCode ?? 0] ?? {};
        if (retry !== true || attempt === ISCSIADM_ATTEMPTS_MAX) {
          throw iscsiadmError(target, error);
        }
        // What it waits for (another program's lock on the database, iscsid starting) sends no event.
        await delay(ISCSIADM_RETRY_MS * 2 ** (attempt - 1));
      }
    }
  }

  async #runLocked(args: readonly string[]): Promise<void> {
    const lock = ['--conflict-exit-code', String(LOCK_TAKEN)];
    lock.push('--timeout', String(ISCSIADM_LOCK_TIMEOUT_S), LOCK_FILE);
    await this.runner.run('flock', [...lock, 'iscsiadm', ...args], {
      timeoutMs: ISCSIADM_TIMEOUT_MS + ISCSIADM_LOCK_TIMEOUT_S * 1000,
    });
  }
}

/** The only place where iscsiadm's errors become ours. */
export function iscsiadmError(target: string, error: CommandError): AurochsError {
  if (error.missing || error.exitCode === 127) {
    return new AurochsError(
      'UNSUPPORTED',
      `${target}: iscsiadm (or flock) is not installed`,
      OPEN_ISCSI_INSTALL_HINT,
      { cause: error },
    );
  }
  if (error.exitCode === LOCK_TAKEN) {
    return new AurochsError(
      'BUSY',
      `${target}: another process has used iscsiadm for more than ${ISCSIADM_LOCK_TIMEOUT_S} s`,
      `See who: fuser ${LOCK_FILE}`,
      { cause: error },
    );
  }
  const exit = ISCSIADM_EXITS[error.exitCode ?? 0];
  if (exit === undefined) {
    return new AurochsError('IO', `${target}: ${error.message}`, ISCSID_LOG_HINT, { cause: error });
  }
  const said = complaint(error);
  const message = `${target}: iscsiadm: ${exit.meaning}${said === '' ? '' : ` (${said})`}`;
  return new AurochsError(exit.code, message, exit.hint, { cause: error });
}

/** The line with the cause; the last one is often only "Could not log into all portals". */
function complaint(error: CommandError): string {
  const cause = /^iscsiadm: initiator reported error \((.*)\)$/m.exec(error.stderr)?.[1];
  return cause ?? error.said.replace(/^iscsiadm: /, '');
}
