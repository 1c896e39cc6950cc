/** The controller service: volumes and their snapshots, each call alone with its volume, snapshot or name. */
import type { AgentApi } from './agent-api.js';
import type { ControllerCalls } from './calls.js';
import { locked } from './locking.js';
import { volumeNameFor } from './names.js';
import { snapshotCalls } from './snapshot-calls.js';
import { volumeCalls } from './volume-calls.js';

const CAPABILITIES = [
  'CREATE_DELETE_VOLUME',
  'PUBLISH_UNPUBLISH_VOLUME',
  'LIST_VOLUMES',
  'GET_CAPACITY',
  'CREATE_DELETE_SNAPSHOT',
  'LIST_SNAPSHOTS',
  'CLONE_VOLUME',
  'PUBLISH_READONLY',
  'EXPAND_VOLUME',
  'LIST_VOLUMES_PUBLISHED_NODES',
  'VOLUME_CONDITION',
  'GET_VOLUME',
  'SINGLE_NODE_MULTI_WRITER',
  'MODIFY_VOLUME',
] as const;

export function controllerService(agent: AgentApi): ControllerCalls {
  const calls: ControllerCalls = {
    ...volumeCalls(agent),
    ...snapshotCalls(agent),
    ControllerGetCapabilities: async () => ({
      capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })),
    }),
  };
  const volume = ({ volumeId }: { volumeId: string }): string[] => [`volume ${volumeId}`];
  return locked(calls, {
    CreateVolume: ({ name }) => [`volume ${volumeNameFor(name)}`],
    DeleteVolume: volume,
    ControllerPublishVolume: volume,
    ControllerUnpublishVolume: volume,
    ControllerExpandVolume: volume,
    ControllerModifyVolume: volume,
    // The volume, too: it must not be deleted between the look at its snapshots and the new one.
    CreateSnapshot: ({ name, sourceVolumeId }) => [`snapshot ${name}`, `volume ${sourceVolumeId}`],
    DeleteSnapshot: ({ snapshotId }) => [`snapshot ${snapshotId}`],
  });
}
