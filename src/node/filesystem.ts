/** Making, checking, growing and trimming file systems: mkfs, fsck and their kin. */
import { AurochsError, type ErrorCode } from '../core/errors.js';
import { CHECK_TIMEOUT_MS, FORMAT_TIMEOUT_MS, TRIM_TIMEOUT_MS } from '../core/limits.js';
import type { FileSystemType } from '../volume/ports.js';
import { CommandError, type CommandOptions } from './command.js';
import type { Host } from './host-namespaces.js';
import { mkfsCommand, type MkfsRequest } from './mkfs-options.js';
import type { MountEntry } from './mount-table.js';

/** In a place where nothing is to be kept: an image, or a device that is wholly ours. */
export async function makeFileSystem(
  host: Host,
  volume: string,
  request: MkfsRequest,
): Promise<void> {
  const { program, args, env } = mkfsCommand(request);
  try {
    await runTool(host, program, args, { timeoutMs: FORMAT_TIMEOUT_MS, env });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${volume}: ${request.type} cannot be made on it: ${error.said || error.reason}`,
      'Is the volume large enough, are the options for mkfs right, and is the agent’s disk not full? See also the end of dmesg.',
      { cause: error },
    );
  }
}

/** Exit codes of e2fsck(8): bits. 1 and 2 (repaired) are fine, as it is not mounted. The first that is set counts. */
export const E2FSCK_BITS: readonly { bit: number; code: ErrorCode; meaning: string }[] = [
  { bit: 4, code: 'CORRUPTION', meaning: 'has errors that cannot be repaired without a decision' },
  { bit: 8, code: 'IO', meaning: 'could not be checked' },
  { bit: 16, code: 'INTERNAL', meaning: 'could not be checked: e2fsck did not take the options' },
  { bit: 32, code: 'ABORTED', meaning: 'was not checked to the end, as somebody stopped it' },
  { bit: 128, code: 'INTERNAL', meaning: 'could not be checked: a library of e2fsck is missing' },
];

/** A super block that makes no sense is an operational error to e2fsck; then it names where its copies are. */
const BAD_SUPER_BLOCK = /e2fsck -b \d+/;

/** Null when the file system can be mounted. */
export function e2fsckProblem(
  exitCode: number,
  output = '',
): { code: ErrorCode; meaning: string } | null {
  if (BAD_SUPER_BLOCK.test(output))
    return { code: 'CORRUPTION', meaning: 'has no valid super block' };
  return E2FSCK_BITS.find(({ bit }) => (exitCode & bit) !== 0) ?? null;
}

/** Before a mount. xfs needs none: mounting it replays its log. */
export async function checkFileSystem(
  host: Host,
  volume: string,
  device: string,
  type: FileSystemType,
): Promise<void> {
  if (type === 'xfs') return;
  try {
    await runTool(host, 'e2fsck', ['-p', device], { timeoutMs: CHECK_TIMEOUT_MS });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (error.exitCode === null) throw unusable(device, error);
    const problem = e2fsckProblem(error.exitCode, error.stdout + error.stderr);
    if (problem === null) return;
    throw new AurochsError(
      problem.code,
      `volume ${volume}: its file system ext4 ${problem.meaning}: ${error.said}`,
      problem.code === 'CORRUPTION'
        ? `Take a snapshot (aurochs snapshot create ${volume}), then repair it: e2fsck ${device}`
        : `Look at it: e2fsck -n ${device}`,
      { cause: error },
    );
  }
}

/**
 * What a log that is yet to be replayed makes xfs_repair say. Then it says nothing about damage: everything that is only
 * in the log looks like an error to it, and its way out, throwing the log away, loses data.
 */
const XFS_LOG_DIRTY = /valuable metadata\s+changes in a log/;

/** After a failed mount: is xfs known to be damaged? Only looks. */
export async function xfsIsDamaged(host: Host, device: string): Promise<boolean> {
  try {
    await runTool(host, 'xfs_repair', ['-n', device], { timeoutMs: CHECK_TIMEOUT_MS });
    return false;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return error.exitCode === 1 && !XFS_LOG_DIRTY.test(error.stdout + error.stderr);
  }
}

/** Fills the device; does nothing when it does already. */
export async function growFileSystem(host: Host, device: string, mount: MountEntry): Promise<void> {
  const [program, goal] =
    mount.fileSystem === 'xfs' ? ['xfs_growfs', mount.mountPoint] : ['resize2fs', device];
  if (mount.fileSystem !== 'xfs' && !mount.fileSystem.startsWith('ext')) return;
  try {
    await runTool(host, program, [goal], { timeoutMs: FORMAT_TIMEOUT_MS });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new AurochsError(
      'IO',
      `${device}: the file system at ${mount.mountPoint} did not grow: ${error.said || error.message}`,
      `The device has grown; when the cause is gone: ${program} ${goal}`,
      { cause: error },
    );
  }
}

export async function trimFileSystem(host: Host, mountPoint: string): Promise<bigint> {
  try {
    const { stdout } = await runTool(host, 'fstrim', ['-v', mountPoint], {
      timeoutMs: TRIM_TIMEOUT_MS,
    });
    return parseTrimmed(stdout);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new AurochsError(
      'UNSUPPORTED',
      `${mountPoint} cannot be trimmed: ${error.said || error.message}`,
      'The volume must be thin (aurochs volume show) and mounted writable.',
      { cause: error },
    );
  }
}

/** "/mnt: 1.2 GiB (1288490188 bytes) trimmed" */
export function parseTrimmed(stdout: string): bigint {
  const match = /\((\d+) bytes\) trimmed/.exec(stdout);
  if (match?.[1] !== undefined) return BigInt(match[1]);
  throw new AurochsError('INTERNAL', `fstrim said: ${stdout.trim()}`);
}

/** A missing program is the same error for all of them. */
export async function runTool(
  host: Host,
  program: string,
  args: readonly string[],
  options?: CommandOptions,
): Promise<{ stdout: string }> {
  try {
    return await host.run(program, args, options);
  } catch (error) {
    if (!(error instanceof CommandError) || !error.missing) throw error;
    throw new AurochsError(
      'UNSUPPORTED',
      `${program} is not installed`,
      'See which package has it: aurochs doctor',
      { cause: error },
    );
  }
}

export function unusable(device: string, error: CommandError): AurochsError {
  return new AurochsError(
    'IO',
    `${device} cannot be examined: ${error.said || error.message}`,
    'Does the agent answer (aurochs doctor)? See also the end of dmesg.',
    { cause: error },
  );
}
