/** Snapshots of several volumes at one moment. */
import type { SnapshotGroupBody } from '../api/types.js';
import { AurochsError } from '../core/errors.js';
import { isId } from '../core/ids.js';
import { SNAPSHOT_GROUP_VOLUMES_MAX } from '../core/limits.js';
import { type AgentApi, orNull } from './agent-api.js';
import { timestampAnswer } from './answers.js';
import type { GroupControllerCalls } from './calls.js';
import type { Snapshot } from './gen/csi/v1/Snapshot.js';
import type { VolumeGroupSnapshot } from './gen/csi/v1/VolumeGroupSnapshot.js';
import { locked } from './locking.js';
import { shown, snapshotIdOf, snapshotNameFor, volumeNameOf } from './names.js';
import { checkSnapshotParameters } from './parameters.js';
import { required, requiredName } from './requests.js';

export function groupControllerService(agent: AgentApi): GroupControllerCalls {
  const calls: GroupControllerCalls = {
    GroupControllerGetCapabilities: async () => ({
      capabilities: [{ rpc: { type: 'CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT' } }],
    }),

    CreateVolumeGroupSnapshot: async ({ name, sourceVolumeIds, parameters }) => {
      const ownName = snapshotNameFor(requiredName(name));
      const volumes = volumesOf(sourceVolumeIds);
      checkSnapshotParameters(parameters);
      const group = await agent.createSnapshotGroup({ name: ownName, volumes });
      return { groupSnapshot: await groupAnswer(agent, group) };
    },

    /** OK for a group that is gone. */
    DeleteVolumeGroupSnapshot: async ({ groupSnapshotId, snapshotIds }) => {
      required('group_snapshot_id', groupSnapshotId);
      const group = await orNull(findGroup(agent, groupSnapshotId));
      if (group === null) return {};
      checkMembers(group, snapshotIds);
      await orNull(agent.deleteSnapshotGroup(group.id));
      return {};
    },

    GetVolumeGroupSnapshot: async ({ groupSnapshotId, snapshotIds }) => {
      required('group_snapshot_id', groupSnapshotId);
      const group = await findGroup(agent, groupSnapshotId);
      checkMembers(group, snapshotIds);
      return { groupSnapshot: await groupAnswer(agent, group) };
    },
  };
  return locked(calls, {
    CreateVolumeGroupSnapshot: ({ name }) => [`group snapshot ${name}`],
    DeleteVolumeGroupSnapshot: ({ groupSnapshotId }) => [`group snapshot ${groupSnapshotId}`],
  });
}

function volumesOf(sourceVolumeIds: readonly string[]): string[] {
  if (sourceVolumeIds.length === 0) {
    throw new AurochsError('INVALID_ARGUMENT', 'source_volume_ids is missing');
  }
  if (sourceVolumeIds.length > SNAPSHOT_GROUP_VOLUMES_MAX) {
    const most = `a group has at most ${SNAPSHOT_GROUP_VOLUMES_MAX}`;
    throw new AurochsError('LIMIT_EXCEEDED', `${sourceVolumeIds.length} volumes; ${most}`);
  }
  if (new Set(sourceVolumeIds).size < sourceVolumeIds.length) {
    throw new AurochsError('INVALID_ARGUMENT', 'source_volume_ids has a volume twice');
  }
  return sourceVolumeIds.map(volumeNameOf);
}

/** By its id alone: a name could be another group's today. */
async function findGroup(agent: AgentApi, id: string): Promise<SnapshotGroupBody> {
  if (isId(id)) return agent.snapshotGroup(id);
  throw new AurochsError('NOT_FOUND', `there is no group snapshot ${shown(id)}`);
}

/** What the CO believes to be in the group must be what is in it; it may leave that open. */
function checkMembers(group: SnapshotGroupBody, snapshotIds: readonly string[]): void {
  if (snapshotIds.length === 0) return;
  const members = new Set(group.members.map(snapshotIdOf));
  const isSame =
    new Set(snapshotIds).size === members.size && snapshotIds.every((id) => members.has(id));
  if (isSame) return;
  throw new AurochsError(
    'INVALID_ARGUMENT',
    `snapshot_ids are not the ${members.size} snapshot(s) of the group ${group.id}`,
  );
}

/** A member can have gone without its group: with its volume, or by a deletion of the group that has not ended. */
async function groupAnswer(
  agent: AgentApi,
  { id, createdAt, members }: SnapshotGroupBody,
): Promise<VolumeGroupSnapshot> {
  const creationTime = timestampAnswer(createdAt);
  const snapshots: Snapshot[] = [];
  for (const member of members) {
    const found = await orNull(agent.snapshot(member.volume, member.snapshot));
    snapshots.push({
      snapshotId: snapshotIdOf(member),
      sourceVolumeId: member.volume,
      sizeBytes: member.sizeBytes,
      creationTime,
      readyToUse: found !== null && !found.removing,
      groupSnapshotId: id,
    });
  }
  const readyToUse = snapshots.every((snapshot) => snapshot.readyToUse);
  return { groupSnapshotId: id, creationTime, readyToUse, snapshots };
}
