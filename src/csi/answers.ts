/** Volumes and snapshots of the agent as CSI tells them. */
import type { NodeBody, SnapshotBody, VolumeBody } from '../api/types.js';
import type { Snapshot } from './gen/csi/v1/Snapshot.js';
import type { Volume } from './gen/csi/v1/Volume.js';
import type { VolumeCondition } from './gen/csi/v1/VolumeCondition.js';
import type { VolumeContentSource } from './gen/csi/v1/VolumeContentSource.js';
import type { Timestamp } from './gen/google/protobuf/Timestamp.js';
import { snapshotIdOf } from './names.js';
import { topologyOf } from './topology.js';

export function volumeAnswer(volume: VolumeBody, nodes: readonly NodeBody[]): Volume {
  const places = nodes.filter(({ id }) => volume.replicas.some(({ nodeId }) => nodeId === id));
  return {
    volumeId: volume.name,
    capacityBytes: volume.sizeBytes,
    volumeContext: {},
    contentSource: contentSource(volume),
    accessibleTopology: places.map(topologyOf),
  };
}

function contentSource({ source }: VolumeBody): VolumeContentSource | null {
  if (source === null) return null;
  const { volume, snapshot } = source;
  if (snapshot === null) return { volume: { volumeId: volume } };
  return { snapshot: { snapshotId: snapshotIdOf({ volume, snapshot }) } };
}

export function publishedNodes({ publications }: VolumeBody): string[] {
  return publications.map(({ nodeId }) => nodeId);
}

/** Abnormal: a person should look at it. */
export function condition({ robustness, problem, state }: VolumeBody): VolumeCondition {
  const isWhole = robustness === 'healthy' || robustness === 'unknown';
  if (isWhole && problem === null) {
    return { abnormal: false, message: `the volume is ${state}` };
  }
  const message = problem?.message ?? `the volume is ${robustness}`;
  return { abnormal: true, message };
}

export function snapshotAnswer(snapshot: SnapshotBody): Snapshot {
  return {
    snapshotId: snapshotIdOf({ volume: snapshot.volume, snapshot: snapshot.id }),
    sourceVolumeId: snapshot.volume,
    sizeBytes: snapshot.sizeBytes,
    creationTime: timestampAnswer(snapshot.createdAt),
    readyToUse: true,
    groupSnapshotId: snapshot.group ?? '',
  };
}

export function timestampAnswer(rfc3339: string): Timestamp {
  const unixMs = Date.parse(rfc3339);
  const seconds = Math.floor(unixMs / 1000);
  return { seconds, nanos: (unixMs - seconds * 1000) * 1_000_000 };
}

/** Volumes that CO's may know of: not those that are only coming into being or going. */
export function isThere({ state }: VolumeBody): boolean {
  return state !== 'creating' && state !== 'deleting';
}
