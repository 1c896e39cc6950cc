/**
 * Formats a device so that whoever is killed, and whenever the power goes, the device is blank, or carries a tag that
 * says that it belongs to this format, or has the whole file system (docs/devices.md, "Formatting"). mkfs works on
 * an image; what it wrote is copied: the tag first, everything else then, and last the first block, which makes a
 * file system of it, in the place of the tag. Each of these is on the disk before the next begins.
 */
import { BLANK_BYTES_CHECKED } from '../core/limits.js';
import { BLOCK_BYTES, encodeTag, isZero } from './format-tag.js';
import type { ImageRun } from './sparse-image.js';

/** A device that is held for this writer alone. Offsets and lengths are multiples of BLOCK_BYTES. */
export interface DeviceFile {
  read(offset: number, length: number): Promise<Buffer>;
  write(bytes: Buffer, offset: number): Promise<void>;
  /** Zeros for good: afterwards they are what is read, however the device did it. */
  zero(offset: number, length: number): Promise<void>;
  flush(): Promise<void>;
}

/** What the device is to hold. */
export interface FormatImage {
  readonly sizeBytes: number;
  /** What mkfs has written; it does not rely on anything else. */
  readonly runs: readonly ImageRun[];
  read(offset: number, length: number): Promise<Buffer>;
}

const CHUNK_BYTES = BLANK_BYTES_CHECKED;

/** REQUIRES: the device is blank, or `unfinished`: as an earlier attempt for this volume has left it. */
export async function writeImage(
  device: DeviceFile,
  image: FormatImage,
  volumeId: string,
  unfinished: boolean,
): Promise<void> {
  // Under the old tag, which allows zeros; the new one would not know what the old attempt has written.
  if (unfinished) await zeroBehindTag(device);
  const beginning = await image.read(0, BLANK_BYTES_CHECKED);
  await device.write(encodeTag(volumeId, beginning), 0);
  await device.flush();
  for (const run of image.runs) await copyRun(device, image, run);
  await device.flush();
  await device.write(beginning.subarray(0, BLOCK_BYTES), 0);
  await device.flush();
}

/** Takes back what an unfinished format has left: the device is blank afterwards. */
export async function eraseUnfinished(device: DeviceFile): Promise<void> {
  await zeroBehindTag(device);
  await device.write(Buffer.alloc(BLOCK_BYTES), 0);
  await device.flush();
}

async function zeroBehindTag(device: DeviceFile): Promise<void> {
  const beginning = await device.read(0, BLANK_BYTES_CHECKED);
  for (let offset = BLOCK_BYTES; offset < beginning.length; offset += BLOCK_BYTES) {
    const block = beginning.subarray(offset, offset + BLOCK_BYTES);
    if (!isZero(block)) await device.write(Buffer.alloc(block.length), offset);
  }
  await device.flush();
}

/**
 * Zeros that mkfs has written (journals) are written, too: what looks blank is so only within BLANK_BYTES_CHECKED, and
 * an old journal behind it must not be taken for the new one's. Long runs of them cost no space on a thin volume.
 */
async function copyRun(device: DeviceFile, image: FormatImage, run: ImageRun): Promise<void> {
  const end = run.offset + run.length;
  let zerosFrom: number | null = null;
  let offset = Math.max(run.offset, BLOCK_BYTES);
  while (offset < end) {
    const next = Math.min(offset + CHUNK_BYTES - (offset % CHUNK_BYTES), end);
    const bytes = await image.read(offset, next - offset);
    if (isZero(bytes)) {
      zerosFrom ??= offset;
    } else {
      if (zerosFrom !== null) await device.zero(zerosFrom, offset - zerosFrom);
      zerosFrom = null;
      await device.write(bytes, offset);
    }
    offset = next;
  }
  if (zerosFrom !== null) await device.zero(zerosFrom, end - zerosFrom);
}
