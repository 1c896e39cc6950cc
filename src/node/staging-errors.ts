/** What a user is told who wants a volume in a way in which it cannot be had now. */
import { AurochsError } from '../core/errors.js';
import type { MountEntry } from './mount-table.js';
import { placesOf } from './volume-stack.js';

export function refuseOtherEncryption(volume: string, is: boolean, wanted: boolean): void {
  if (is === wanted) return;
  const word = (encrypted: boolean): string => (encrypted ? 'encrypted' : 'not encrypted');
  throw new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${volume} is ${word(is)}, and was to be staged as one that is ${word(wanted)}`,
    'Nothing has been changed. Stage it as what it is.',
  );
}

export function stagedOtherwise(volume: string, how: string): AurochsError {
  return new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${volume} is in use already, ${how}`,
    'Unstage or unmount it there first, or use it there.',
  );
}

export function stillBound(
  volume: string,
  path: string,
  others: readonly MountEntry[],
): AurochsError {
  return new AurochsError(
    'BUSY',
    `volume ${volume} cannot be unstaged from ${path}: it is still mounted at ${placesOf(others)}`,
    'Unbind it there first.',
  );
}

export function writableBlock(volume: string): AurochsError {
  return new AurochsError(
    'UNSUPPORTED',
    `volume ${volume}: its device lets everybody write, and a read-only mount of a device node stops nobody`,
    'Attach the volume read-only; an encrypted one may also be staged read-only.',
  );
}
