/** A small ext4 on a device that can be made to fail: dm-flakey over a file of the guest's disk. */
import { mkdirSync } from 'node:fs';

import { run } from '../../support/programs.js';
import { DISK_MOUNT } from './guest-agent.js';

const SECTOR_BYTES = 512;
/** It is "down" for the whole of this, and "up" for none of it. */
const DOWN_SECONDS = 3_600;

export class FaultyDisk {
  readonly mountPoint: string;
  readonly #device: string;
  #loop = '';

  constructor(
    private readonly name: string,
    private readonly sizeBytes: number,
  ) {
    this.mountPoint = `/mnt/${name}`;
    this.#device = `/dev/mapper/${name}`;
  }

  async create(): Promise<void> {
    const image = `${DISK_MOUNT}/${this.name}.img`;
    await run('modprobe', '-a', 'loop', 'dm_flakey');
    await run('truncate', '-s', String(this.sizeBytes), image);
    this.#loop = (await run('losetup', '--find', '--show', image)).trim();
    await run('dmsetup', 'create', this.name, '--table', this.#table('linear', '0'));
    await run('dmsetup', 'mknodes');
    // Without a journal: it would end all writing at the first error that it meets itself.
    await run('mkfs.ext4', '-q', '-b', '4096', '-O', '^has_journal', this.#device);
    mkdirSync(this.mountPoint, { recursive: true });
    await run('mount', this.#device, this.mountPoint);
  }

  /** Every request fails. */
  fail(): Promise<void> {
    return this.#become(this.#table('flakey', `0 0 ${DOWN_SECONDS}`));
  }

  /** Reads go on. */
  failWrites(): Promise<void> {
    return this.#become(this.#table('flakey', `0 0 ${DOWN_SECONDS} 1 error_writes`));
  }

  mend(): Promise<void> {
    return this.#become(this.#table('linear', '0'));
  }

  /** As one does after an error. */
  async remount(): Promise<void> {
    await run('umount', this.mountPoint);
    await run('sh', '-c', `e2fsck -fy ${this.#device} || [ $? -eq 1 ]`); // 1: errors were corrected.
    await run('mount', this.#device, this.mountPoint);
  }

  #table(target: string, rest: string): string {
    return `0 ${this.sizeBytes / SECTOR_BYTES} ${target} ${this.#loop} ${rest}`;
  }

  async #become(table: string): Promise<void> {
    // Nothing is flushed on the way: what is in memory is to meet the new behaviour.
    await run('dmsetup', 'suspend', '--noflush', '--nolockfs', this.name);
    await run('dmsetup', 'load', this.name, '--table', table);
    await run('dmsetup', 'resume', this.name);
  }
}
