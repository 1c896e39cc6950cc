/**
 * Snapshots that nobody needs any more: what was taken for a copy alone, and what is left of a group that was not
 * finished. They are noted at their volume, which need not be reachable for that; the reconciler removes them
 * once it can, so that no crash and no broken disk leaves one for ever.
 */
import { hasCode } from '../core/errors.js';
import type { Volume } from './model.js';
import type { OpenVolume, OpenVolumes } from './open-volumes.js';
import type { Store } from './ports.js';
import { changeVolume } from './waiting.js';

/** Nothing to do when the volume is gone, and its snapshots with it. */
export async function markUnwanted(
  store: Store,
  { volume: name, volumeId, snapshotId }: { volume: string; volumeId: string; snapshotId: string },
): Promise<void> {
  try {
    await changeVolume(store, name, (volume) => {
      if (volume.id !== volumeId || volume.unwanted.includes(snapshotId)) return volume;
      return { ...volume, unwanted: [...volume.unwanted, snapshotId] };
    });
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND')) throw error;
  }
}

/** REQUIRES: exclusive. Deletes them; their space comes back with the merges that follow. */
export async function removeUnwanted(
  { store, open: volumes }: { store: Store; open: OpenVolumes },
  { name, unwanted }: Volume,
  open: OpenVolume,
): Promise<void> {
  const { snapshots } = await volumes.describe(open);
  const there = snapshots.filter(({ id, removing }) => unwanted.includes(id) && !removing);
  if (there.length > 0) {
    // Written first: after a crash the volume is opened again until the merges have ended.
    await changeVolume(store, name, (current) => ({ ...current, merging: true }));
    for (const { id } of there) await open.engine.deleteSnapshot(id);
  }
  await changeVolume(store, name, (current) => ({
    ...current,
    unwanted: current.unwanted.filter((id) => !unwanted.includes(id)),
  }));
}
