/** How one snapshot is shown to a person. */
import type { SnapshotBody } from '../api/types.js';

/** "head" marks the snapshot that the head stands on. */
export function snapshotState({ removing, mergeShare, headParent }: SnapshotBody): string {
  if (!removing) return headParent ? 'head' : '-';
  return mergeShare === null ? 'removing' : `removing ${Math.floor(mergeShare * 100)}%`;
}
