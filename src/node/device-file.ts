/** A block device opened for one writer alone. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

import { AurochsError } from '../core/errors.js';
import { BLANK_BYTES_CHECKED, FORMAT_TIMEOUT_MS } from '../core/limits.js';
import { CommandError } from './command.js';
import type { DeviceFile } from './formatter.js';
import type { Host } from './host-namespaces.js';

/** Below that a program takes longer to start than zeros to write. */
const PUNCH_BYTES_MIN = BLANK_BYTES_CHECKED;

export class HostDeviceFile implements DeviceFile {
  private constructor(
    private readonly host: Host,
    private readonly path: string,
    private readonly handle: FileHandle,
  ) {}

  /** O_EXCL on a block device (open(2)): refused while it is mounted or held by anybody, and keeps them out. */
  static async open(host: Host, volume: string, path: string): Promise<HostDeviceFile> {
    try {
      const handle = await open(host.path(path), constants.O_RDWR | constants.O_EXCL);
      return new HostDeviceFile(host, path, handle);
    } catch (error) {
      const busy = (error as NodeJS.ErrnoException).code === 'EBUSY';
      throw new AurochsError(
        busy ? 'BUSY' : 'IO',
        busy
          ? `volume ${volume}: ${path} is held by somebody else`
          : `volume ${volume}: ${path} cannot be opened for writing: ${(error as Error).message}`,
        busy
          ? 'It is mounted or has a device above it, perhaps in another namespace: take that down, then repeat.'
          : 'Is the volume attached read-only? See also the end of dmesg.',
        { cause: error },
      );
    }
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await this.handle.read(buffer, 0, length, offset);
    return buffer.subarray(0, bytesRead);
  }

  async write(bytes: Buffer, offset: number): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const rest = bytes.length - done;
      const { bytesWritten } = await this.handle.write(bytes, done, rest, offset + done);
      done += bytesWritten;
    }
  }

  /** A hole where the device can have one that reads as zeros; else zeros. */
  async zero(offset: number, length: number): Promise<void> {
    if (length >= PUNCH_BYTES_MIN && (await this.#punch(offset, length))) return;
    const zeros = Buffer.alloc(Math.min(length, BLANK_BYTES_CHECKED));
    for (let done = 0; done < length; done += zeros.length) {
      await this.write(zeros.subarray(0, Math.min(zeros.length, length - done)), offset + done);
    }
  }

  async flush(): Promise<void> {
    await this.handle.datasync();
  }

  async close(): Promise<void> {
    await this.handle.close();
  }

  async #punch(offset: number, length: number): Promise<boolean> {
    const where = ['--offset', String(offset), '--length', String(length)];
    try {
      const args = ['--punch-hole', ...where, this.path];
      await this.host.run('fallocate', args, { timeoutMs: FORMAT_TIMEOUT_MS });
      return true;
    } catch (error) {
      if (error instanceof CommandError) return false;
      throw error;
    }
  }
}
