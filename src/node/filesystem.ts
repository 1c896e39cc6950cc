/** What is on a device, and making, checking, growing and trimming file systems: blkid, mkfs, fsck and their kin. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

import { AurochsError, type ErrorCode } from '../core/errors.js';
import {
  BLANK_BYTES_CHECKED,
  CHECK_TIMEOUT_MS,
  FORMAT_TIMEOUT_MS,
  TRIM_TIMEOUT_MS,
} from '../core/limits.js';
import type { FileSystemType } from '../volume/ports.js';
import { CommandError, type CommandOptions } from './command.js';
import type { Host } from './host-namespaces.js';
import type { MountEntry } from './mount-table.js';

/** What is on a device, in words: "the file system btrfs", "a partition table (gpt)"; null when it is blank. */
export type Contents =
  { kind: 'blank' } | { kind: 'fileSystem'; type: string } | { kind: 'other'; what: string };

const BLKID_NOTHING_FOUND = 2;
const BLKID_AMBIVALENT = 8;

/** "KEY=value" lines of `blkid -o export`. */
export function parseBlkidExport(stdout: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0) values.set(line.slice(0, equals), line.slice(equals + 1));
  }
  return values;
}

export function contentsOf(blkid: ReadonlyMap<string, string>): Contents {
  const type = blkid.get('TYPE');
  if (type !== undefined) {
    return blkid.get('USAGE') === 'filesystem'
      ? { kind: 'fileSystem', type }
      : { kind: 'other', what: `${type} (${blkid.get('USAGE') ?? 'not a file system'})` };
  }
  const table = blkid.get('PTTYPE');
  if (table !== undefined) return { kind: 'other', what: `a partition table (${table})` };
  return { kind: 'blank' };
}

/** Low-level probing: reads the device itself, not blkid's cache, which knows it by an old name. */
export async function probe(host: Host, device: string): Promise<Contents> {
  let contents: Contents;
  try {
    const { stdout } = await run(host, 'blkid', ['-p', '-o', 'export', device]);
    contents = contentsOf(parseBlkidExport(stdout));
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (error.exitCode === BLKID_AMBIVALENT) {
      return { kind: 'other', what: 'the signatures of more than one file system' };
    }
    if (error.exitCode !== BLKID_NOTHING_FOUND) throw unusable(device, error);
    contents = { kind: 'blank' };
  }
  if (contents.kind === 'blank' && !(await beginsWithZeros(host.path(device)))) {
    return { kind: 'other', what: 'data that is no file system known to blkid' };
  }
  return contents;
}

/** blkid knows much but not everything (a database on the raw device); what is not zero is somebody's. */
async function beginsWithZeros(path: string): Promise<boolean> {
  const handle = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(BLANK_BYTES_CHECKED);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
    return buffer.subarray(0, bytesRead).every((byte) => byte === 0);
  } finally {
    await handle.close();
  }
}

/**
 * A new volume reads as zeros, so discarding it first gives nothing back and takes time; -F and -f are left out,
 * so that mkfs itself refuses what it recognises.
 */
const MKFS: Record<FileSystemType, { program: string; args: readonly string[] }> = {
  ext4: { program: 'mkfs.ext4', args: ['-q', '-E', 'nodiscard'] },
  xfs: { program: 'mkfs.xfs', args: ['-q', '-K'] },
};

/** Formats a device that has been found blank; if that fails, it is blank again. */
export async function makeFileSystem(
  host: Host,
  volume: string,
  device: string,
  type: FileSystemType,
): Promise<void> {
  const { program, args } = MKFS[type];
  try {
    await run(host, program, [...args, device], { timeoutMs: FORMAT_TIMEOUT_MS });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    await blankBeginning(host.path(device)).catch((refusal: unknown) => {
      if ((refusal as NodeJS.ErrnoException).code !== 'EBUSY') throw refusal;
    });
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${volume}: ${type} cannot be made on it: ${error.said || error.message}`,
      'Is the volume large enough, and its disk not full (aurochs disk ls)? See also the end of dmesg.',
      { cause: error },
    );
  }
}

/**
 * Takes away the half of a file system that mkfs has left, so that the next attempt is not refused. O_EXCL on a
 * block device (open(2)): refused while it is mounted or held, as when somebody else was faster than mkfs.
 */
async function blankBeginning(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDWR | constants.O_EXCL);
  try {
    await handle.write(Buffer.alloc(BLANK_BYTES_CHECKED), 0, BLANK_BYTES_CHECKED, 0);
    await handle.sync();
  } finally {
    await handle.close();
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
    await run(host, 'e2fsck', ['-p', device], { timeoutMs: CHECK_TIMEOUT_MS });
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

/** After a failed mount: is xfs damaged? Only looks. */
export async function xfsIsDamaged(host: Host, device: string): Promise<boolean> {
  try {
    await run(host, 'xfs_repair', ['-n', device], { timeoutMs: CHECK_TIMEOUT_MS });
    return false;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return error.exitCode === 1;
  }
}

/** Fills the device; does nothing when it does already. */
export async function growFileSystem(host: Host, device: string, mount: MountEntry): Promise<void> {
  const [program, goal] =
    mount.fileSystem === 'xfs' ? ['xfs_growfs', mount.mountPoint] : ['resize2fs', device];
  if (mount.fileSystem !== 'xfs' && !mount.fileSystem.startsWith('ext')) return;
  try {
    await run(host, program, [goal], { timeoutMs: FORMAT_TIMEOUT_MS });
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
    const { stdout } = await run(host, 'fstrim', ['-v', mountPoint], {
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
async function run(
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

function unusable(device: string, error: CommandError): AurochsError {
  return new AurochsError(
    'IO',
    `${device} cannot be examined: ${error.said || error.message}`,
    'Does the agent answer (aurochs doctor)? See also the end of dmesg.',
    { cause: error },
  );
}
