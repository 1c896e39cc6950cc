/** What the checks of `doctor` ask about the machine; a test answers in its stead. */
import { constants } from 'node:fs';
import { access, readFile, readdir, statfs } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join } from 'node:path';

import { searchPath } from './command.js';

export interface FileSystemInfo {
  /** f_type of statfs(2). */
  magic: number;
  /** Free bytes for this user. */
  freeBytes: bigint;
  /** The directory that was looked at: the one asked for, or its nearest parent that exists. */
  directory: string;
  writable: boolean;
}

export interface Machine {
  readonly kernelRelease: string;
  /** Null when there is no such file or it must not be read. */
  readText(path: string): Promise<string | null>;
  /** Paths of the files in a directory; empty when there is none. */
  listDirectory(path: string): Promise<string[]>;
  exists(path: string): Promise<boolean>;
  /** Full path of a program, null when it is not installed. */
  findProgram(name: string): Promise<string | null>;
  fileSystemOf(path: string): Promise<FileSystemInfo>;
}

export class LocalMachine implements Machine {
  readonly kernelRelease = release();

  /** `root` stands before every path: where the files of the host are seen, or of a test. */
  constructor(private readonly root = '') {}

  async readText(path: string): Promise<string | null> {
    return readFile(this.root + path, 'utf8').catch(() => null);
  }

  async listDirectory(path: string): Promise<string[]> {
    const names = await readdir(this.root + path).catch(() => []);
    return names.sort().map((name) => join(path, name));
  }

  async exists(path: string): Promise<boolean> {
    return isAccessible(this.root + path, constants.F_OK);
  }

  async findProgram(name: string): Promise<string | null> {
    for (const folder of searchPath()) {
      const path = join(folder, name);
      if (await isAccessible(this.root + path, constants.X_OK)) return path;
    }
    return null;
  }

  async fileSystemOf(path: string): Promise<FileSystemInfo> {
    let directory = path;
    while (!(await this.exists(directory)) && dirname(directory) !== directory) {
      directory = dirname(directory);
    }
    const info = await statfs(this.root + directory, { bigint: true });
    return {
      magic: Number(info.type),
      freeBytes: info.bavail * info.bsize,
      directory,
      writable: await isAccessible(this.root + directory, constants.W_OK),
    };
  }
}

async function isAccessible(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}
