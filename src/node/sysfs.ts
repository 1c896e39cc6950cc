/**
 * Attributes of the kernel below /sys. What it lists may be gone by the time it is read: that is an answer
 * (null, or nothing in the list), not an error.
 */
import { constants } from 'node:fs';
import { access, open, readdir, readFile, readlink } from 'node:fs/promises';

import { AurochsError } from '../core/errors.js';
import type { Host } from './host-namespaces.js';

export class Sysfs {
  constructor(private readonly host: Host) {}

  /** The attribute without its line end. */
  async read(path: string): Promise<string | null> {
    return (await this.readBytes(path))?.toString('utf8').trim() ?? null;
  }

  async readBytes(path: string): Promise<Buffer | null> {
    return readFile(this.host.path(path)).catch(() => null);
  }

  async exists(path: string): Promise<boolean> {
    return access(this.host.path(path)).then(
      () => true,
      () => false,
    );
  }

  /** Names in a directory, in order. */
  async list(path: string): Promise<string[]> {
    const names = await readdir(this.host.path(path)).catch(() => []);
    return names.sort();
  }

  /** What a link says. */
  async readLink(path: string): Promise<string | null> {
    return readlink(this.host.path(path)).catch(() => null);
  }

  async write(path: string, value: string): Promise<void> {
    try {
      // Neither created nor read: some attributes may only be written.
      const handle = await open(this.host.path(path), constants.O_WRONLY);
      try {
        await handle.write(value);
      } finally {
        await handle.close();
      }
    } catch (error) {
      throw new AurochsError(
        'IO',
        `the kernel refused "${value}" for ${path}: ${(error as Error).message}`,
        'See the end of dmesg; the agent must run as root with /sys writable.',
        { cause: error },
      );
    }
  }
}
