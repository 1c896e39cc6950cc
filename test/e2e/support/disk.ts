/** The disk of a guest: an image file below build/e2e that outlives it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const POLL_MS = 10;

export interface Disk {
  /** Value of qemu's -drive. */
  drive: string;
}

/** A sparse image with an empty ext4 on it, made here because it takes a guest much longer. */
export function createImage(path: string, sizeBytes: number): void {
  const image = openSync(path, 'w');
  ftruncateSync(image, sizeBytes);
  closeSync(image);
  execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'assume_storage_prezeroed=1', path]);
}

/**
 * For a guest that is not cut off. What its kernel has written stays when qemu is killed, flushed or
 * not, because it is in the host's page cache; only what was in the guest's own memory is lost.
 */
export function plainDisk(image: string): Disk {
  return { drive: `file=${image},format=raw,if=virtio,cache=writeback` };
}

/**
 * A disk whose write cache is lost with the power, like that of a real one: nbdkit keeps what the guest
 * writes apart and brings it to the image only at a flush. Neither O_DIRECT nor any other cache mode of
 * qemu does that: what was written to the image survives qemu whether it was flushed or not.
 */
export class VolatileDisk implements Disk {
  private constructor(
    readonly drive: string,
    private readonly folder: string,
    private readonly server: ChildProcess,
  ) {}

  static async plugIn(image: string): Promise<VolatileDisk> {
    // Not below the checkout: the path of a socket is at most 107 bytes long.
    const folder = mkdtempSync(join(tmpdir(), 'aurochs-e2e-'));
    const [socket, pidFile] = [join(folder, 'socket'), join(folder, 'pid')];
    const cache = ['--filter=cache', 'file', image, 'cache=writeback', 'cache-min-block-size=4096'];
    const args = ['-f', '--exit-with-parent', '-U', socket, '-P', pidFile, ...cache];
    const server = spawn('nbdkit', args, { stdio: ['ignore', 'inherit', 'inherit'] });
    while (!existsSync(pidFile)) {
      if (server.exitCode !== null) throw new Error(`nbdkit ended with ${server.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    const drive = `file=nbd+unix:///?socket=${socket},format=raw,if=virtio,cache=none`;
    return new VolatileDisk(drive, folder, server);
  }

  /** Its cache is gone. Call it after the guest's end: the guest must not see its disk fail. */
  async cut(): Promise<void> {
    const exited = once(this.server, 'exit');
    this.server.kill('SIGKILL');
    await exited;
    rmSync(this.folder, { recursive: true });
  }
}
