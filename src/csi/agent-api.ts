/** What the driver asks of the agent, which alone touches machine, volumes and mounts. */
import type { ApiClient } from '../api/client.js';
import { hasCode } from '../core/errors.js';

export type AgentApi = Pick<
  ApiClient,
  | 'health'
  | 'nodes'
  | 'disks'
  | 'volumes'
  | 'volume'
  | 'createVolume'
  | 'deleteVolume'
  | 'expandVolume'
  | 'publishVolume'
  | 'unpublishVolume'
  | 'setVolumeLabels'
  | 'snapshots'
  | 'snapshotsLastSeen'
  | 'snapshot'
  | 'createSnapshot'
  | 'deleteSnapshot'
  | 'diffPage'
  | 'snapshotGroup'
  | 'createSnapshotGroup'
  | 'deleteSnapshotGroup'
  | 'stageVolume'
  | 'unstageVolume'
  | 'bindVolume'
  | 'unbindVolume'
  | 'volumeUsage'
  | 'growStaged'
>;

/** What was asked for; null when there is none. Every other error stays one. */
export async function orNull<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return null;
    throw error;
  }
}
