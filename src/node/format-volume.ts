/** Formats volumes: mkfs (or cryptsetup) on an image beside, then the image onto the device. */
import { fileURLToPath } from 'node:url';

import { AurochsError } from '../core/errors.js';
import { FORMAT_TIMEOUT_MS } from '../core/limits.js';
import { CommandError } from './command.js';
import { type FormatTask, parseError } from './format-task.js';
import type { Host } from './host-namespaces.js';
import { SparseImage } from './sparse-image.js';

const PROGRAM = fileURLToPath(new URL('./format-main.js', import.meta.url));

export interface FormatTarget {
  volume: string;
  volumeId: string;
  /** "/dev/aurochs/db" */
  path: string;
  sizeBytes: bigint;
}

export class VolumeFormatter {
  constructor(
    private readonly host: Host,
    /** For images, on a disk: sparse files as large as volumes. */
    private readonly imageDirectory: string,
  ) {}

  /** What `make` does to the image happens to the device, all of it or nothing. Refused unless it is blank. */
  async format(target: FormatTarget, make: (image: string) => Promise<void>): Promise<void> {
    await this.host.formats.run(target.volume, () => this.#format(target, make));
  }

  /** Makes the device blank if a format of this volume has been left on it, and touches nothing else. */
  async clearUnfinished(target: Omit<FormatTarget, 'sizeBytes'>): Promise<void> {
    await this.#run(target, null);
  }

  async #format(target: FormatTarget, make: (image: string) => Promise<void>): Promise<void> {
    const image = await SparseImage.create(this.imageDirectory, Number(target.sizeBytes));
    try {
      await make(image.path);
      await this.#run(target, image.path);
    } finally {
      await image.close();
    }
  }

  async #run(
    { volume, volumeId, path }: Omit<FormatTarget, 'sizeBytes'>,
    image: string | null,
  ): Promise<void> {
    const task: FormatTask = { volume, volumeId, device: path, image, view: this.host.view };
    try {
      const options = { timeoutMs: FORMAT_TIMEOUT_MS };
      await this.host.runHere(process.execPath, [PROGRAM, JSON.stringify(task)], options);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw (
        parseError(error.stdout) ??
        new AurochsError(
          'IO',
          `volume ${volume}: formatting ${path} was cut off: ${error.reason}`,
          'See the end of dmesg; repeating begins anew.',
          { cause: error },
        )
      );
    }
  }
}
