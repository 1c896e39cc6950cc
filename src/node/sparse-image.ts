/**
 * A sparse file of a device's size that a program formats in the place of the device. It has no name, so nothing is
 * left of it whoever is killed; programs of the host reach it through /proc, also from other mount namespaces.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { AurochsError } from '../core/errors.js';
import { CommandError } from './command.js';
import { BLOCK_BYTES } from './format-tag.js';
import type { Host } from './host-namespaces.js';

/** A part of the file that has been written, also with zeros. */
export interface ImageRun {
  offset: number;
  length: number;
}

export class SparseImage {
  private constructor(
    private readonly handle: FileHandle,
    readonly sizeBytes: number,
  ) {}

  static async create(directory: string, sizeBytes: number): Promise<SparseImage> {
    await mkdir(directory, { recursive: true });
    const name = join(directory, `.image-${randomUUID()}`);
    const handle = await open(name, 'wx+', 0o600);
    try {
      await rm(name);
      await handle.truncate(sizeBytes);
      return new SparseImage(handle, sizeBytes);
    } catch (error) {
      await handle.close();
      throw new AurochsError(
        'FAILED_PRECONDITION',
        `${directory} cannot hold a sparse file of ${sizeBytes} bytes, in which a file system of that size is made: ${(error as Error).message}`,
        'Give the agent a --data-dir on a file system that can hold files as large as its volumes.',
        { cause: error },
      );
    }
  }

  /** One that another process has made. */
  static async open(path: string): Promise<SparseImage> {
    const handle = await open(path, 'r');
    return new SparseImage(handle, (await handle.stat()).size);
  }

  /** As programs see it. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.handle.fd}`;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const buffer = Buffer.alloc(Math.min(length, this.sizeBytes - offset));
    let done = 0;
    while (done < buffer.length) {
      const { bytesRead } = await this.handle.read(
        buffer,
        done,
        buffer.length - done,
        offset + done,
      );
      if (bytesRead === 0) throw new Error('the image has become shorter');
      done += bytesRead;
    }
    return buffer;
  }

  /** What has been written, in order, in whole blocks. */
  async runs(host: Host): Promise<ImageRun[]> {
    try {
      const { stdout } = await host.run('filefrag', ['-s', '-v', this.path]);
      return wholeBlocks(parseFilefrag(stdout), this.sizeBytes);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      return [{ offset: 0, length: this.sizeBytes }]; // A file system that does not tell: slow, and as good.
    }
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

/** Lines of "index: first.. last: …" in blocks whose size the heading has. */
export function parseFilefrag(stdout: string): ImageRun[] {
  const blockBytes = Number(/\(\d+ blocks? of (\d+) bytes\)/.exec(stdout)?.[1]);
  if (!(blockBytes > 0))
    throw new AurochsError('INTERNAL', `filefrag said: ${stdout.slice(0, 200)}`);
  return [...stdout.matchAll(/^\s*\d+:\s*(\d+)\.\.\s*(\d+):/gm)].map(([, first, last]) => ({
    offset: Number(first) * blockBytes,
    length: (Number(last) - Number(first) + 1) * blockBytes,
  }));
}

function wholeBlocks(runs: readonly ImageRun[], sizeBytes: number): ImageRun[] {
  const whole: ImageRun[] = [];
  for (const { offset, length } of runs) {
    const start = Math.floor(offset / BLOCK_BYTES) * BLOCK_BYTES;
    const end = Math.min(Math.ceil((offset + length) / BLOCK_BYTES) * BLOCK_BYTES, sizeBytes);
    const last = whole.at(-1);
    if (last !== undefined && start <= last.offset + last.length) last.length = end - last.offset;
    else if (start < end) whole.push({ offset: start, length: end - start });
  }
  return whole;
}
