/** Mount points: finding, checking, making them; mounting and unmounting; who is in the way. */
import { mkdir, readdir, readlink, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { AurochsError, hasCode } from '../core/errors.js';
import { UNMOUNT_TIMEOUT_MS } from '../core/limits.js';
import { CommandError } from './command.js';
import type { Host } from './host-namespaces.js';
import { type MountEntry, readMountTable } from './mount-table.js';

/** How many processes an error names. */
const PROCESSES_NAMED_MAX = 5;

/** The path with links resolved, as the mount table shows it. Its parent must be there. */
export async function resolveMountPoint(host: Host, path: string): Promise<string> {
  if (!path.startsWith('/')) {
    throw new AurochsError(
      'INVALID_ARGUMENT',
      `${path}: a mount point is a full path`,
      'Begin it with "/".',
    );
  }
  try {
    const { stdout } = await host.run('readlink', ['-f', '--', path]);
    return stdout.replace(/\n$/, '');
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `the mount point ${path} is not there, and neither is the directory it would be made in`,
      `Make it: mkdir -p ${path}`,
      { cause: error },
    );
  }
}

/** As resolveMountPoint, and makes the directories above. Never follows a link in the place of the last name. */
export async function makeParent(host: Host, path: string): Promise<string> {
  try {
    await host.run('mkdir', ['-p', '--', dirname(path)]);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `${dirname(path)} cannot be made: ${error.said || error.reason}`,
      'Is there a file of that name, or a file system that cannot be written to?',
      { cause: error },
    );
  }
  return join(await resolveMountPoint(host, dirname(path)), basename(path));
}

/**
 * As the mount table shows it, without looking at what is mounted there, which may be broken; null when the directory
 * above is not there, and so nothing within.
 */
export async function resolveInParent(host: Host, path: string): Promise<string | null> {
  try {
    return join(await resolveMountPoint(host, dirname(path)), basename(path));
  } catch (error) {
    if (hasCode(error, 'FAILED_PRECONDITION')) return null;
    throw error;
  }
}

/** What is mounted there; the newest one hides the others. */
export async function mountedAt(host: Host, mountPoint: string): Promise<MountEntry | null> {
  return (await mountsAt(host, mountPoint)).at(-1) ?? null;
}

/** All that are mounted there, one upon the other. */
export async function mountsAt(host: Host, mountPoint: string): Promise<MountEntry[]> {
  return (await readMountTable(host)).filter((entry) => entry.mountPoint === mountPoint);
}

/** An empty directory, made if need be; true when it was made. */
export async function prepareMountPoint(host: Host, mountPoint: string): Promise<boolean> {
  const path = host.path(mountPoint);
  const info = await stat(path).catch(() => null);
  if (info === null) {
    try {
      await mkdir(path);
    } catch (error) {
      throw new AurochsError(
        'FAILED_PRECONDITION',
        `the mount point ${mountPoint} cannot be made: ${(error as Error).message}`,
        `Is ${dirname(mountPoint)} a directory that can be written to?`,
        { cause: error },
      );
    }
    return true;
  }
  if (!info.isDirectory()) {
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `the mount point ${mountPoint} is not a directory`,
      'Give an empty directory, or a path that is not there.',
    );
  }
  if ((await readdir(path)).length > 0) {
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `the mount point ${mountPoint} is not empty`,
      'Mounting would hide what is in it. Give an empty directory, or a path that is not there.',
    );
  }
  return false;
}

export async function removeMountPoint(host: Host, mountPoint: string): Promise<void> {
  await rmdir(host.path(mountPoint));
}

/** BUSY names the processes that keep it from being unmounted. */
export async function unmountPath(
  host: Host,
  volume: string,
  { mountPoint, deviceNumber }: MountEntry,
): Promise<void> {
  try {
    await host.run('umount', ['--', mountPoint], { timeoutMs: UNMOUNT_TIMEOUT_MS });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const now = await mountedAt(host, mountPoint);
    if (now?.deviceNumber !== deviceNumber) return; // Somebody else was faster.
    const processes = await processesBelow(host, mountPoint);
    const who = processes.length === 0 ? '' : `, used by ${processes.join(', ')}`;
    throw new AurochsError(
      'BUSY',
      `volume ${volume}: ${mountPoint} cannot be unmounted${who}: ${error.said || error.message}`,
      `End what uses it (fuser -vm ${mountPoint}), then repeat.`,
      { cause: error },
    );
  }
}

/** "bash (17)": those whose working directory, root, program or open files are below. */
async function processesBelow(host: Host, mountPoint: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir(host.path('/proc')).catch(() => [])) {
    if (!/^\d+$/.test(pid) || found.length === PROCESSES_NAMED_MAX) continue;
    const process = host.path(`/proc/${pid}`);
    if (!(await usesPathBelow(process, mountPoint))) continue;
    const program = (await readlink(`${process}/exe`).catch(() => null))?.split('/').at(-1);
    found.push(`${program ?? 'process'} (${pid})`);
  }
  return found;
}

async function usesPathBelow(process: string, mountPoint: string): Promise<boolean> {
  const files = await readdir(`${process}/fd`).catch(() => []);
  for (const link of ['cwd', 'root', 'exe', ...files.map((file) => `fd/${file}`)]) {
    const path = await readlink(`${process}/${link}`).catch(() => null);
    if (path === mountPoint || path?.startsWith(`${mountPoint}/`)) return true;
  }
  return false;
}
