/**
 * Which volumes are staged as block devices. The kernel shows what is mounted, but nothing of a volume that its users
 * get as it is, so there is a file for each below /run: it outlives the agent and ends with a boot, as devices do.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';

import { AurochsError } from '../core/errors.js';
import type { Host } from './host-namespaces.js';

const FOLDER = '/run/aurochs/staged';

export interface BlockStaging {
  volumeId: string;
  /** Only names it. */
  path: string;
  readOnly: boolean;
  encrypted: boolean;
}

export class BlockStagings {
  constructor(private readonly host: Host) {}

  /** Null also for one of an earlier volume of that name. */
  async find(volume: string, volumeId: string): Promise<BlockStaging | null> {
    const staging = await this.ofName(volume);
    return staging?.volumeId === volumeId ? staging : null;
  }

  /** Of this volume or of an earlier one of that name. */
  async ofName(volume: string): Promise<BlockStaging | null> {
    const path = this.#file(volume);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw cannot('read', path, error);
    }
    try {
      return JSON.parse(text) as BlockStaging;
    } catch (error) {
      throw cannot('read', path, error);
    }
  }

  /** Replaced at once. Not synced: it need not outlive the kernel. */
  async write(volume: string, staging: BlockStaging): Promise<void> {
    const path = this.#file(volume);
    const temporary = this.host.path(`${FOLDER}/.${randomUUID()}`);
    try {
      await mkdir(this.host.path(FOLDER), { recursive: true, mode: 0o700 });
      await writeFile(temporary, JSON.stringify(staging), { mode: 0o600, flag: 'wx' });
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw cannot('written', path, error);
    }
  }

  async remove(volume: string): Promise<void> {
    await rm(this.#file(volume), { force: true });
  }

  #file(volume: string): string {
    return this.host.path(`${FOLDER}/${volume}.json`);
  }
}

function cannot(what: string, path: string, error: unknown): AurochsError {
  return new AurochsError(
    'IO',
    `${path}, which says how a volume is staged, cannot be ${what}: ${(error as Error).message}`,
    'Is /run full, or not writable for the agent?',
    { cause: error },
  );
}
