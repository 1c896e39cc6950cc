/**
 * What things are called on both sides. A volume's id is its name; a snapshot's id is its volume's name and its own id,
 * so that nobody has to keep an index of snapshots.
 */
import { createHash } from 'node:crypto';

import { AurochsError } from '../core/errors.js';
import { isId } from '../core/ids.js';
import { LABEL_VALUE_CHARS_MAX } from '../core/limits.js';
import { checkSnapshotName, checkVolumeName } from '../volume/names.js';

export const DRIVER_NAME = 'csi.aurochs.io';

const HASH_CHARS = 40;
const INVISIBLE = /\p{C}/u;

function passes(check: (name: string) => void, name: string): boolean {
  try {
    check(name);
    return true;
  } catch {
    return false;
  }
}

/** What the CO calls it where our rules allow that, else a name made of it. */
function ownName(check: (name: string) => void, name: string): string {
  if (passes(check, name)) return name;
  return `csi-${createHash('sha256').update(name).digest('hex').slice(0, HASH_CHARS)}`;
}

export function volumeNameFor(name: string): string {
  return ownName(checkVolumeName, name);
}

/** Groups have the rules of snapshots. */
export function snapshotNameFor(name: string): string {
  return ownName(checkSnapshotName, name);
}

/** What the CO calls a volume, in the form that a label may have. */
export function nameLabel(name: string): string {
  return INVISIBLE.test(name) ? encodeURIComponent(name).slice(0, LABEL_VALUE_CHARS_MAX) : name;
}

/** Whether a volume could have that id. */
export function isVolumeName(text: string): boolean {
  return passes(checkVolumeName, text);
}

/** NOT_FOUND for an id that no volume can have. */
export function volumeNameOf(volumeId: string): string {
  if (isVolumeName(volumeId)) return volumeId;
  throw new AurochsError('NOT_FOUND', `there is no volume ${shown(volumeId)}`);
}

export interface SnapshotPlace {
  volume: string;
  snapshot: string;
}

export function snapshotIdOf({ volume, snapshot }: SnapshotPlace): string {
  return `${volume}/${snapshot}`;
}

/** Null for an id that no snapshot can have. */
export function parseSnapshotId(snapshotId: string): SnapshotPlace | null {
  const [volume = '', snapshot = '', ...rest] = snapshotId.split('/');
  if (rest.length > 0 || !isVolumeName(volume) || !isId(snapshot)) return null;
  return { volume, snapshot };
}

/** NOT_FOUND for an id that no snapshot can have. */
export function snapshotPlaceOf(snapshotId: string): SnapshotPlace {
  const place = parseSnapshotId(snapshotId);
  if (place !== null) return place;
  throw new AurochsError('NOT_FOUND', `there is no snapshot ${shown(snapshotId)}`);
}

export function shown(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
}
