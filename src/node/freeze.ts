/**
 * Holds mounted file systems still while a snapshot is taken.
 *
 * A frozen file system hangs everyone who writes to it, so it must never outlive its purpose. A timer in the agent
 * cannot promise that: it dies with the agent, and the agent itself may hang on the very file system that it
 * has frozen. So each file system is frozen by a small process of its own that waits for the end of its standard
 * input: it thaws at once when the agent asks or dies (the kernel closes the pipe), and after
 * FREEZE_WATCHDOG_S when the agent hangs. It ignores signals that are meant for the agent's process group, and
 * leaves the agent's control group, as systemd kills what is left in it. Should it be killed all the same, the
 * agent sees its end and thaws.
 *
 * It holds the mount point open and freezes what it has open: nobody can unmount it meanwhile, which would leave a file
 * system frozen that has no name any more, nor can it be what lies below a mount point that is none any more.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';

import { AurochsError } from '../core/errors.js';
import { FREEZE_DEADLINE_MS, FREEZE_WATCHDOG_S } from '../core/limits.js';
import { commandEnvironment, CommandError } from './command.js';
import type { Host } from './host-namespaces.js';
import type { MountEntry } from './mount-table.js';

type FrozenMount = Pick<MountEntry, 'mountPoint' | 'deviceNumber'>;

const FROZEN = 'frozen';

/** $1: mount point, $2: seconds, $3: number of its device. Exit codes: 0 thawed when asked, 1 never frozen, 2 thawed by the watchdog or by others. */
const SCRIPT = `
trap '' HUP INT TERM PIPE
{ echo $$ > /sys/fs/cgroup/cgroup.procs; } 2> /dev/null
exec 3< "$1" || exit 1
test "$(stat -L -c %Hd:%Ld /proc/self/fd/3)" = "$3" || { echo "it is not mounted at $1 any more" >&2; exit 1; }
fsfreeze --freeze /proc/self/fd/3 || exit 1
echo ${FROZEN}
timeout "$2" cat > /dev/null
waited=$?
fsfreeze --unfreeze /proc/self/fd/3 || exit 2
test $waited -eq 0 || exit 2
`;

/** Freezes all, or none and throws. Resolves to what thaws them and tells whether they were still all the time. */
export async function freezeAll(
  host: Host,
  volume: string,
  mounts: readonly FrozenMount[],
  watchdogS = FREEZE_WATCHDOG_S,
): Promise<() => Promise<boolean>> {
  const freezers = mounts.map((mount) => new Freezer(host, mount, watchdogS));
  const thaw = async (): Promise<boolean> =>
    (await Promise.all(freezers.map((freezer) => freezer.thaw()))).every((still) => still);
  try {
    await Promise.all(freezers.map((freezer) => freezer.frozen(volume)));
  } catch (error) {
    await thaw();
    throw error;
  }
  return thaw;
}

class Freezer {
  readonly #child: ChildProcessWithoutNullStreams;
  /** Exit code; null when it was killed or could not be started. */
  readonly #ended: Promise<number | null>;
  #stderr = '';
  #frozen = false;

  constructor(
    private readonly host: Host,
    private readonly mount: FrozenMount,
    watchdogS: number,
  ) {
    const args = ['-c', SCRIPT, 'sh', mount.mountPoint, String(watchdogS), mount.deviceNumber];
    this.#child = spawn(...host.commandLine('sh', args), { env: commandEnvironment() });
    this.#child.stderr.on('data', (bytes: Buffer) => (this.#stderr += bytes.toString()));
    this.#child.stdin.on('error', () => {}); // It has ended already; its exit code says how.
    this.#ended = once(this.#child, 'close').then(
      ([code]) => code as number | null,
      () => null,
    );
  }

  async frozen(volume: string): Promise<void> {
    const deadline = AbortSignal.timeout(FREEZE_DEADLINE_MS);
    const said = once(this.#child.stdout, 'data', { signal: deadline }).then(
      () => FROZEN,
      () => 'slow',
    );
    const outcome = await Promise.race([said, this.#ended.then(() => 'ended')]);
    this.#frozen = outcome === FROZEN;
    if (this.#frozen) return;
    const cause =
      outcome === 'slow' ? `not still after ${FREEZE_DEADLINE_MS / 1000} s` : this.#complaint();
    throw new AurochsError(
      'UNAVAILABLE',
      `volume ${volume}: the file system at ${this.mount.mountPoint} cannot be frozen: ${cause}`,
      'Somebody else may have frozen it: fsfreeze --unfreeze. Otherwise see the end of dmesg.',
    );
  }

  /** True if it was frozen until now. A freezer that is still freezing thaws as soon as it has. */
  async thaw(): Promise<boolean> {
    this.#child.stdin.end();
    if (!this.#frozen) return false;
    const code = await this.#ended;
    if (code === null) await this.#thawItself();
    return code === 0;
  }

  /** The freezer was killed. fsfreeze fails when there is nothing to thaw. */
  async #thawItself(): Promise<void> {
    await this.host
      .run('fsfreeze', ['--unfreeze', this.mount.mountPoint])
      .catch((error: unknown) => {
        if (!(error instanceof CommandError)) throw error;
      });
  }

  #complaint(): string {
    return this.#stderr.trim().split('\n').at(-1) ?? 'sh cannot be run';
  }
}
