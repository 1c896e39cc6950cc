/** What a user is told who wants a volume in a way in which it cannot be had now. */
import { AurochsError } from '../core/errors.js';
import type { MountEntry } from './mount-table.js';
import { placesOf } from './volume-stack.js';

/** What is wanted is not what is: at the very path (CSI asks for ALREADY_EXISTS then), or elsewhere on this machine. */
export type Where = 'here' | 'elsewhere';

const CODE = { here: 'ALREADY_EXISTS', elsewhere: 'FAILED_PRECONDITION' } as const;

export function refuseOtherEncryption(
  volume: string,
  is: boolean,
  wanted: boolean,
  where: Where,
): void {
  if (is === wanted) return;
  const word = (encrypted: boolean): string => (encrypted ? 'encrypted' : 'not encrypted');
  throw new AurochsError(
    CODE[where],
    `volume ${volume} is ${word(is)}, and was to be staged as one that is ${word(wanted)}`,
    'Nothing has been changed. Stage it as what it is.',
  );
}

export function stagedOtherwise(volume: string, how: string, where: Where): AurochsError {
  return new AurochsError(
    CODE[where],
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
