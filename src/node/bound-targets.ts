/**
 * At which targets volumes have been bound, and so what may be removed when they are unbound. The mount table forgets that
 * with the mount; a kill between unmounting and removing must not leave the target to whoever repeats. There is a file
 * for each below /run, which ends with a boot, as mounts do.
 */
import { createHash } from 'node:crypto';
import { access, mkdir, rm, writeFile } from 'node:fs/promises';

import { AurochsError } from '../core/errors.js';
import type { Host } from './host-namespaces.js';

const FOLDER = '/run/aurochs/bound';

export class BoundTargets {
  constructor(private readonly host: Host) {}

  /** Before the target is made. */
  async add(volume: string, target: string): Promise<void> {
    const path = this.#file(volume, target);
    try {
      await mkdir(this.host.path(FOLDER), { recursive: true, mode: 0o700 });
      await writeFile(path, `${target}\n`, { mode: 0o600 }); // For a person; that it is there is what counts.
    } catch (error) {
      throw new AurochsError(
        'IO',
        `${path}, which says that a volume is bound, cannot be written: ${(error as Error).message}`,
        'Is /run full, or not writable for the agent?',
        { cause: error },
      );
    }
  }

  async has(volume: string, target: string): Promise<boolean> {
    return access(this.#file(volume, target)).then(
      () => true,
      () => false,
    );
  }

  /** When the target is gone. */
  async remove(volume: string, target: string): Promise<void> {
    await rm(this.#file(volume, target), { force: true });
  }

  #file(volume: string, target: string): string {
    const name = createHash('sha256').update(target).digest('hex');
    return this.host.path(`${FOLDER}/${volume}.${name}`);
  }
}
