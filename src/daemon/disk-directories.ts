/** Disks as directories of this machine. */
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AurochsError } from '../core/errors.js';
import { isId } from '../core/ids.js';
import type { DiskDirectories } from '../volume/ports.js';

/** {"id": "<uuid>"}; replaced atomically and durably (D2). */
const IDENTITY_FILE = 'aurochs-disk.json';
const DIRECTORY_MODE = 0o700;

export class LocalDiskDirectories implements DiskDirectories {
  async readIdentity(diskPath: string): Promise<string | null> {
    const path = join(diskPath, IDENTITY_FILE);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return null;
      throw ioError(error, path);
    }
    const id = identityOf(text);
    if (id !== null) return id;
    throw new AurochsError(
      'CORRUPTION',
      `disk ${diskPath}: ${IDENTITY_FILE} is damaged`,
      'Restore this file: {"id": "…"} with the id that "aurochs disk ls" shows.',
    );
  }

  async writeIdentity(diskPath: string, diskId: string): Promise<void> {
    const path = join(diskPath, IDENTITY_FILE);
    const temporary = `${path}.new`;
    try {
      await makeOneDirectory(join(diskPath, 'replicas'));
      const file = await open(temporary, 'w', 0o600);
      try {
        await file.writeFile(`${JSON.stringify({ id: diskId })}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
      await syncDirectory(diskPath);
    } catch (error) {
      throw ioError(error, diskPath);
    }
  }

  async removeIdentity(diskPath: string): Promise<void> {
    await rm(join(diskPath, IDENTITY_FILE), { force: true });
    // Empty as it was made; a directory with replicas stays.
    await rmdir(join(diskPath, 'replicas')).catch(() => undefined);
  }

  async listReplicas(diskPath: string): Promise<string[]> {
    const path = join(diskPath, 'replicas');
    try {
      const entries = await readdir(path, { withFileTypes: true });
      return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw ioError(error, path);
    }
  }

  async syncReplicas(diskPath: string): Promise<void> {
    const path = join(diskPath, 'replicas');
    try {
      await syncDirectory(path);
    } catch (error) {
      throw ioError(error, path);
    }
  }
}

/** Its parent must be there: a path that is mistyped, or whose disk is not mounted, is not made up. */
async function makeOneDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: DIRECTORY_MODE });
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST' || !(await stat(path)).isDirectory()) throw error;
  }
}

/**
 * With its parents. Not mkdir's `recursive`: that never ends where a directory is there but nothing can be
 * made in it, as in /proc.
 */
export async function makeDirectories(path: string): Promise<void> {
  try {
    await makeOneDirectory(path);
  } catch (error) {
    const parent = dirname(path);
    if (errnoOf(error) !== 'ENOENT' || existsSync(parent) || parent === path) throw error;
    await makeDirectories(parent);
    await makeOneDirectory(path);
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function identityOf(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    const id = typeof value === 'object' && value !== null && 'id' in value ? value.id : null;
    return typeof id === 'string' && isId(id) ? id : null;
  } catch {
    return null;
  }
}

export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** The only translation of Node's file errors into ours. */
export function ioError(error: unknown, path: string): AurochsError {
  if (error instanceof AurochsError) return error;
  const errno = errnoOf(error);
  const options = { cause: error };
  switch (errno) {
    case 'EACCES':
    case 'EPERM':
      return new AurochsError(
        'PERMISSION_DENIED',
        `${path}: this user may not write there`,
        'Choose another directory, change its owner, or run the agent as root.',
        options,
      );
    case 'EROFS':
      return new AurochsError(
        'READ_ONLY',
        `${path}: the file system is mounted read-only`,
        'Mount it for writing.',
        options,
      );
    case 'ENOSPC':
    case 'EDQUOT':
      return new AurochsError(
        'NO_SPACE',
        `${path}: no space is left`,
        'Make room there, or choose another directory.',
        options,
      );
    case 'ENOENT':
      return new AurochsError(
        'NOT_FOUND',
        `${path}: there is no such directory, or none can be made there`,
        'Create it first, or mount what belongs there.',
        options,
      );
    case 'ENOTDIR':
    case 'EEXIST':
      return new AurochsError(
        'INVALID_ARGUMENT',
        `${path}: is not a directory`,
        'Give the path of a directory.',
        options,
      );
    default: {
      const why = error instanceof Error ? error.message : String(error);
      return new AurochsError('IO', `${path}: ${why}`, 'See the kernel log.', options);
    }
  }
}
