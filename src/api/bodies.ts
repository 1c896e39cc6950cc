/** The domain's nouns as the API sends them. */
import {
  type Disk,
  type ExportAddress,
  formOf,
  type Snapshot,
  type SnapshotGroup,
  type Volume,
} from '../volume/model.js';
import type { NodeIdentity } from '../volume/ports.js';
import type { Diff } from '../volume/snapshot-service.js';
import type {
  ChapBody,
  DeviceBody,
  DiffBody,
  DiskBody,
  NodeBody,
  SnapshotBody,
  SnapshotGroupBody,
  Timestamp,
  VolumeBody,
} from './types.js';

export function timestamp(unixMs: number): Timestamp {
  return new Date(unixMs).toISOString();
}

export interface VolumeView {
  volume: Volume;
  exports: ExportAddress[];
  allocatedBytes: bigint | null;
  copyShare: number | null;
  diskPath: (diskId: string) => string;
  /** Only when the request asked for them in so many words. */
  withSecrets: boolean;
}

export function volumeBody(view: VolumeView): VolumeBody {
  const { volume } = view;
  return {
    id: volume.id,
    name: volume.name,
    labels: volume.labels,
    sizeBytes: String(volume.sizeBytes),
    allocatedBytes: view.allocatedBytes === null ? null : String(view.allocatedBytes),
    createdAt: timestamp(volume.createdUnixMs),
    state: volume.state,
    robustness: volume.robustness,
    desiredAttached: volume.desired.attached,
    frontends: volume.desired.frontends,
    ...formOf(volume.desired),
    epoch: String(volume.epoch),
    chap: chapBody(volume, view.withSecrets),
    initiators: volume.initiators,
    replicas: volume.replicas.map((place) => ({
      id: place.id,
      nodeId: place.nodeId,
      diskId: place.diskId,
      diskPath: view.diskPath(place.diskId),
      directory: place.directory,
    })),
    source: sourceBody(volume),
    copyShare: view.copyShare,
    publications: volume.publications,
    exports: view.exports,
    device: deviceBody(volume),
    problem: volume.problem,
  };
}

/** A snapshot that was taken for the copy alone is nobody else's business. */
function sourceBody({ source }: Volume): VolumeBody['source'] {
  if (source === null) return null;
  return { volume: source.volume, snapshot: source.temporary ? null : source.snapshotId };
}

function deviceBody({ device }: Volume): DeviceBody | null {
  if (device === null) return null;
  const { path, kernelPath, frontend, why } = device;
  return { path, kernelPath, frontend, why };
}

function chapBody(volume: Volume, withSecrets: boolean): ChapBody | null {
  const { chap } = volume;
  if (chap === null) return null;
  if (withSecrets) return { ...chap };
  return {
    user: chap.user,
    ...(chap.mutualUser === undefined ? {} : { mutualUser: chap.mutualUser }),
  };
}

export function snapshotBody(snapshot: Snapshot): SnapshotBody {
  const { createdUnixMs, sizeBytes, allocatedBytes, ...rest } = snapshot;
  return {
    ...rest,
    createdAt: timestamp(createdUnixMs),
    sizeBytes: String(sizeBytes),
    allocatedBytes: String(allocatedBytes),
  };
}

export function groupBody({ id, name, createdUnixMs, members }: SnapshotGroup): SnapshotGroupBody {
  return {
    id,
    name,
    createdAt: timestamp(createdUnixMs),
    members: members.map(({ volume, snapshotId: snapshot, sizeBytes }) => ({
      volume,
      snapshot,
      sizeBytes: String(sizeBytes),
    })),
  };
}

export function nodeBody({ createdUnixMs, ...node }: NodeIdentity): NodeBody {
  return { ...node, createdAt: timestamp(createdUnixMs) };
}

export function diskBody(disk: Disk, replicas: number): DiskBody {
  const { createdUnixMs, totalBytes, freeBytes, fileBytesMax, ...rest } = disk;
  return {
    ...rest,
    createdAt: timestamp(createdUnixMs),
    totalBytes: String(totalBytes),
    freeBytes: String(freeBytes),
    fileBytesMax: String(fileBytesMax),
    replicas,
  };
}

export function diffBody(diff: Diff): DiffBody {
  return {
    from: diff.from,
    to: diff.to,
    runs: diff.runs.map((run) => ({
      offsetBytes: String(run.offsetBytes),
      lengthBytes: String(run.lengthBytes),
      state: run.state,
    })),
    nextOffsetBytes: diff.nextOffsetBytes === null ? null : String(diff.nextOffsetBytes),
  };
}
