/**
 * What the REST API sends and takes, as TypeScript types; docs/api.md explains, schemas.ts checks.
 *
 * Byte counts are strings of decimal digits because a JSON number stops being exact at 2^53. Sizes in
 * requests may carry a unit ("10GiB", "512MiB", "1T"). Times are RFC 3339 in UTC.
 */
import type { ErrorCode } from '../core/errors.js';
import type {
  DeviceFrontend,
  FileSystemType,
  Frontend,
  KeyDerivation,
  Provisioning,
  VolumeRobustness,
  VolumeState,
} from '../volume/model.js';
import type { StagingKind } from '../volume/ports.js';

export type {
  DeviceFrontend,
  ErrorCode,
  FileSystemType,
  Frontend,
  KeyDerivation,
  Provisioning,
  StagingKind,
  VolumeRobustness,
  VolumeState,
};

/** Exact count of bytes, in decimal digits. */
export type ByteCount = string;
/** RFC 3339, for example "2026-11-22T19:10:00.000Z". */
export type Timestamp = string;

/** Body of every answer that is not 2xx. */
export interface ErrorBody {
  error: { code: ErrorCode; message: string; hint?: string };
}

export interface Problem {
  code: ErrorCode;
  message: string;
  hint?: string;
}

/** Answer of every list. */
export interface ListBody<T> {
  items: T[];
}

export interface HealthBody {
  state: 'starting' | 'ready' | 'stopping';
  version: string;
  pid: number;
  uptimeMs: number;
  ioBackend: 'io_uring' | 'epoll';
  dataDir: string;
  addresses: { iscsi: string[]; nbd: string[]; api: string };
  volumes: { total: number; attached: number; faulted: number };
}

/** How an initiator reaches an attached volume. */
export interface ExportBody {
  frontend: Frontend;
  /** "iscsi://127.0.0.1:3260/iqn.2026-11.io.aurochs:db/1", "nbd://127.0.0.1:10809/db", "nbd+unix:///db?socket=…" */
  uri: string;
  /** "127.0.0.1:3260" or "unix:/run/aurochs/nbd.sock" */
  address: string;
  /** Target name (IQN) or NBD export name. */
  name: string;
}

/** An attached volume as a block device of the agent's machine. */
export interface DeviceBody {
  /** "/dev/aurochs/<volume>" */
  path: string;
  /** "/dev/sda", "/dev/nbd0": another one after the next attach. */
  kernelPath: string;
  frontend: Frontend;
  /** Why this frontend. */
  why: string;
}

export interface ReplicaBody {
  id: string;
  nodeId: string;
  diskId: string;
  diskPath: string;
  directory: string;
}

export interface ChapBody {
  user: string;
  /** In answers only with `?secrets=1`. */
  secret?: string;
  mutualUser?: string;
  /** In answers only with `?secrets=1`. */
  mutualSecret?: string;
}

/** A node that may use the volume. */
export interface PublicationBody {
  nodeId: string;
  readOnly: boolean;
  /** Several nodes may have it at once. */
  shared: boolean;
}

export interface VolumeBody {
  id: string;
  name: string;
  labels: Record<string, string>;
  sizeBytes: ByteCount;
  /** Taken on disk by head and snapshots; null while the volume has not been opened since the agent started. */
  allocatedBytes: ByteCount | null;
  createdAt: Timestamp;
  state: VolumeState;
  robustness: VolumeRobustness;
  desiredAttached: boolean;
  frontends: Frontend[];
  readOnly: boolean;
  removable: boolean;
  provisioning: Provisioning;
  epoch: string;
  chap: ChapBody | null;
  /** Allowed iSCSI initiator names; empty means all. */
  initiators: string[];
  replicas: ReplicaBody[];
  /** What it was made of; null: blank. */
  source: { volume: string; snapshot: string | null } | null;
  /** While state is "creating" and there is a source: share copied, 0 to 1; else null. */
  copyShare: number | null;
  /** The nodes that may use it. */
  publications: PublicationBody[];
  /** Empty unless attached. */
  exports: ExportBody[];
  /** Null unless it was attached with a device. */
  device: DeviceBody | null;
  /** Why the last step did not work; null when it did. */
  problem: Problem | null;
}

export interface ChapRequestBody {
  user: string;
  secret: string;
  mutualUser?: string;
  mutualSecret?: string;
}

export interface VolumeCreateBody {
  name: string;
  /** "10737418240" or "10GiB". */
  size: string;
  /** Id or path of a disk; the one with the most free space when absent. */
  disk?: string;
  /** The disk must have all of these tags. */
  diskTags?: string[];
  /** Its node must have all of these tags. */
  nodeTags?: string[];
  /** One of these nodes (id or name); any when absent. */
  nodes?: string[];
  labels?: Record<string, string>;
  /** A snapshot (id or name), or without one the volume as it is now. `size` may be larger than the source, not smaller. */
  source?: { volume: string; snapshot?: string };
  chap?: ChapRequestBody;
  initiators?: string[];
}

export interface VolumePublishBody {
  /** Id or name. */
  node: string;
  readOnly?: boolean;
  /** Several nodes may have it at once; they must all read only. */
  shared?: boolean;
  /** What its device comes through; "auto" when absent. */
  frontend?: DeviceFrontend;
}

export interface VolumeUnpublishBody {
  /** Id or name; all when absent. */
  node?: string;
}

export interface VolumeLabelsBody {
  /** null removes; others stay. */
  labels: Record<string, string | null>;
}

export interface VolumeAttachBody {
  /** Both when absent; with a device: that of the device, and those that are offered already. */
  frontends?: Frontend[];
  /** Make it a block device of the agent's machine, too. */
  device?: { frontend: DeviceFrontend };
  readOnly?: boolean;
  /** Over iSCSI: the medium can be unloaded and locked. */
  removable?: boolean;
  /** "full": initiators cannot give blocks back over iSCSI. */
  provisioning?: Provisioning;
}

/** What is absent stays; it counts for new logins over iSCSI. */
export interface VolumeAccessBody {
  /** null: none is asked for. */
  chap?: ChapRequestBody | null;
  /** Empty: all. */
  initiators?: string[];
}

export interface VolumeDetachBody {
  force?: boolean;
}

export interface VolumeMountBody {
  /** Absolute; an empty directory, or none yet. */
  mountPoint: string;
  /** What a blank volume is formatted with; "ext4" when absent. */
  fileSystem?: FileSystemType;
  readOnly?: boolean;
  /** As for mount -o, one each. */
  options?: string[];
}

export interface VolumeUnmountBody {
  /** Everywhere when absent. */
  mountPoint?: string;
}

export interface VolumeStageBody {
  /** Absolute; where a file system is mounted, made when missing; it only names the staging of a block device. */
  path: string;
  kind: StagingKind;
  /** What a blank volume is formatted with; "ext4" when absent. */
  fileSystem?: FileSystemType;
  /** For mkfs, one argument each. */
  formatOptions?: string[];
  /** As for mount -o, one each. */
  mountOptions?: string[];
  readOnly?: boolean;
  /** LUKS2. */
  encryption?: {
    passphrase: string;
    cipher?: string;
    keySizeBits?: number;
    pbkdf?: KeyDerivation;
  };
}

export interface StagedBody {
  /** What stands on the volume: "/dev/aurochs/db" or "/dev/mapper/aurochs-db". */
  device: string;
}

export interface VolumeUnstageBody {
  path: string;
}

/** Gives a staged volume to a user: a bind mount of its directory, or of its device node on a regular file. */
export interface VolumeBindBody {
  stagingPath: string;
  targetPath: string;
  kind: StagingKind;
  readOnly?: boolean;
  /** Refused while the volume is bound elsewhere. */
  exclusive?: boolean;
  mountOptions?: string[];
}

export interface VolumeUnbindBody {
  targetPath: string;
}

export interface UsageBody {
  kind: StagingKind;
  /** All of a block device counts as used. */
  bytes: { total: ByteCount; used: ByteCount; available: ByteCount };
  inodes: { total: string; used: string; available: string } | null;
  /** For a person: why the mount is not sound; null when it is. */
  abnormal: string | null;
}

export interface VolumeGrowBody {
  path: string;
}

export interface GrownBody {
  sizeBytes: ByteCount;
}

export interface TrimBody {
  /** What the file system gave back to the volume. */
  trimmedBytes: ByteCount;
}

export interface VolumeExpandBody {
  size: string;
}

export interface SnapshotBody {
  id: string;
  name: string;
  volume: string;
  /** Id of the snapshot below; null at the base. */
  parent: string | null;
  createdAt: Timestamp;
  sizeBytes: ByteCount;
  allocatedBytes: ByteCount;
  /** Deletion was asked for; its merge waits or runs. */
  removing: boolean;
  /** Share of the merge done, 0 to 1, while removing. */
  mergeShare: number | null;
  /** The head stands on this one. */
  headParent: boolean;
  /** Id of the group it was taken in; null: none. */
  group: string | null;
}

export interface SnapshotCreateBody {
  /** "snap-20261122t191000z" in the manner of the time when absent. */
  name?: string;
}

export interface SnapshotGroupCreateBody {
  name: string;
  /** 1 to 64, each once. */
  volumes: string[];
}

export interface SnapshotGroupBody {
  id: string;
  name: string;
  createdAt: Timestamp;
  /** `snapshot` is an id. */
  members: { volume: string; snapshot: string; sizeBytes: ByteCount }[];
}

export interface DiffBody {
  /** Ids; null: an empty volume (from) or the head (to). */
  from: string | null;
  to: string | null;
  runs: { offsetBytes: ByteCount; lengthBytes: ByteCount; state: 'data' | 'hole' }[];
  /** Offset of the next page; null at the end. */
  nextOffsetBytes: ByteCount | null;
}

export interface DiskBody {
  id: string;
  nodeId: string;
  path: string;
  tags: string[];
  createdAt: Timestamp;
  fileSystem: string;
  totalBytes: ByteCount;
  freeBytes: ByteCount;
  /** The largest volume that the file system can hold. */
  fileBytesMax: ByteCount;
  replicas: number;
  /** Directories below `replicas` that no volume claims; never removed by the agent. */
  leftovers: string[];
  problem: Problem | null;
}

export interface DiskAddBody {
  path: string;
  tags?: string[];
}

export interface DiskTagsBody {
  /** In the place of those that it has. */
  tags: string[];
}

export interface NodeBody {
  id: string;
  name: string;
  zone: string | null;
  tags: string[];
  createdAt: Timestamp;
}

export interface SessionBody {
  frontend: Frontend;
  volume: string;
  /** Target name or export name. */
  export: string;
  /** iSCSI initiator name; empty for NBD. */
  initiator: string;
  address: string;
}

export interface DoctorFinding {
  /** What was looked at: "io_uring", "disk disk0", "iscsid". */
  check: string;
  severity: 'ok' | 'warning' | 'error';
  message: string;
  /** What it means for the user; not for `ok`. */
  meaning?: string;
  hint?: string;
}

/** `data` of one server-sent event of /v1/events; the SSE `event` field repeats `type`. */
export type EventBody =
  | { type: 'hello'; version: string }
  | { type: 'volume'; volume: VolumeBody }
  | { type: 'volumeDeleted'; name: string; id: string }
  | { type: 'disk'; disk: DiskBody }
  | { type: 'diskDeleted'; id: string }
  | {
      type: 'snapshot';
      volume: string;
      change: 'created' | 'reverted' | 'removing';
      snapshot: string;
    }
  | { type: 'mergeProgress'; volume: string; snapshot: string; share: number }
  | { type: 'mergeDone'; volume: string; snapshot: string; error: string | null }
  | { type: 'copyProgress'; /** The new one. */ volume: string; share: number }
  | { type: 'sessionOpened' | 'sessionClosed'; session: SessionBody };
