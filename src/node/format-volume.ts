/** Formats volumes: mkfs (or cryptsetup) on an image beside, then the image onto the device. */
import { AurochsError } from '../core/errors.js';
import { type Contents, describe, probe } from './contents.js';
import { HostDeviceFile } from './device-file.js';
import { eraseUnfinished, writeImage } from './formatter.js';
import type { Host } from './host-namespaces.js';
import { SparseImage } from './sparse-image.js';

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
    const image = await SparseImage.create(this.imageDirectory, Number(target.sizeBytes));
    try {
      await make(image.path);
      const runs = await image.runs(this.host);
      await this.#hold(target, async (device, contents) => {
        if (contents.kind !== 'blank' && contents.kind !== 'unfinished') {
          throw holdsData(target, contents);
        }
        const { sizeBytes } = image;
        const source = { sizeBytes, runs, read: image.read.bind(image) };
        await writeImage(device, source, target.volumeId, contents.kind === 'unfinished');
      });
    } finally {
      await image.close();
    }
  }

  /** Makes the device blank if a format of this volume has been left on it, and touches nothing else. */
  async clearUnfinished(target: FormatTarget): Promise<void> {
    await this.#hold(target, async (device, contents) => {
      if (contents.kind === 'unfinished') await eraseUnfinished(device);
    });
  }

  /** What is there may have changed before it was held. */
  async #hold(
    { volume, volumeId, path }: FormatTarget,
    work: (device: HostDeviceFile, contents: Contents) => Promise<void>,
  ): Promise<void> {
    const device = await HostDeviceFile.open(this.host, volume, path);
    try {
      await work(device, await probe(this.host, path, volumeId));
    } catch (error) {
      if (error instanceof AurochsError) throw error;
      throw new AurochsError(
        'IO',
        `volume ${volume}: formatting ${path} failed: ${(error as Error).message}`,
        'Is its disk full (aurochs disk ls)? See the end of dmesg; repeating begins anew.',
        { cause: error },
      );
    } finally {
      await device.close();
    }
  }
}

function holdsData({ volume }: FormatTarget, contents: Contents): AurochsError {
  return new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${volume} has become ${describe(contents)} while it was to be formatted`,
    'Nothing has been changed. Somebody else uses it.',
  );
}
