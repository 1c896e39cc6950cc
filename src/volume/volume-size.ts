/** Which sizes a volume may have. */
import { AurochsError } from '../core/errors.js';
import { VOLUME_BYTES_MAX, VOLUME_BYTES_MIN, VOLUME_BYTES_MULTIPLE } from '../core/limits.js';
import { formatSizeExact } from '../core/units.js';
import type { Disk } from './model.js';

/** Rounded up to whole blocks; OUT_OF_RANGE beyond what a volume may have. */
export function usableSize(bytes: bigint): bigint {
  const rounded =
    ((bytes + VOLUME_BYTES_MULTIPLE - 1n) / VOLUME_BYTES_MULTIPLE) * VOLUME_BYTES_MULTIPLE;
  if (rounded >= VOLUME_BYTES_MIN && rounded <= VOLUME_BYTES_MAX) return rounded;
  throw new AurochsError(
    'OUT_OF_RANGE',
    `a volume of ${formatSizeExact(bytes)} is out of range`,
    `A volume has ${formatSizeExact(VOLUME_BYTES_MIN)} to ${formatSizeExact(VOLUME_BYTES_MAX)}.`,
  );
}

export function checkFitsDisk(name: string, sizeBytes: bigint, disk: Disk): void {
  if (sizeBytes > disk.fileBytesMax) throw doesNotFit(name, sizeBytes, disk);
}

export function doesNotFit(name: string, sizeBytes: bigint, disk: Disk): AurochsError {
  return new AurochsError(
    'OUT_OF_RANGE',
    `volume ${name}: ${formatSizeExact(sizeBytes)} is more than a file on disk ${disk.path} (${disk.fileSystem}) can hold`,
    `The largest volume there has ${formatSizeExact(disk.fileBytesMax)}. Use a smaller size or a disk with XFS.`,
  );
}
