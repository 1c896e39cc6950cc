/** The domain's nouns. Sizes are bytes as bigint; times are milliseconds since 1970. */
import type { ErrorCode } from '../core/errors.js';

/** Is it open? Moves only as NEXT_STATE of volume-state.ts allows. */
export type VolumeState =
  'creating' | 'detached' | 'attaching' | 'attached' | 'detaching' | 'deleting';

/** Is it whole? */
export type VolumeRobustness = 'healthy' | 'degraded' | 'faulted' | 'unknown';

export type Frontend = 'iscsi' | 'nbd';

/** Auto: iSCSI where iscsi_tcp and iscsid can be used, else NBD. */
export type DeviceFrontend = 'auto' | Frontend;
export const DEVICE_FRONTENDS: readonly DeviceFrontend[] = ['auto', 'iscsi', 'nbd'];

export interface ChapSettings {
  user: string;
  secret: string;
  mutualUser?: string;
  mutualSecret?: string;
}

/** Thin: initiators may unmap blocks. Full: blocks are never given back through iSCSI. */
export type Provisioning = 'thin' | 'full';
export const PROVISIONINGS: readonly Provisioning[] = ['thin', 'full'];

/** How an attached volume shows itself to initiators. */
export interface UnitForm {
  readOnly: boolean;
  /** The medium can be unloaded and locked (iSCSI). */
  removable: boolean;
  provisioning: Provisioning;
}

export const PLAIN_FORM: UnitForm = { readOnly: false, removable: false, provisioning: 'thin' };

export function formOf({ readOnly, removable, provisioning }: UnitForm): UnitForm {
  return { readOnly, removable, provisioning };
}

export function sameForm(a: UnitForm, b: UnitForm): boolean {
  return (
    a.readOnly === b.readOnly && a.removable === b.removable && a.provisioning === b.provisioning
  );
}

export interface ReplicaPlace {
  id: string;
  nodeId: string;
  diskId: string;
  /** Directory name below the disk's `replicas`. */
  directory: string;
  /**
   * Why its data cannot be trusted since it was last opened (D4); null if it can. The volume is not
   * opened again by itself then: a failed sync must never turn into success.
   */
  failed: string | null;
}

export type FileSystemType = 'ext4' | 'xfs';
export const FILE_SYSTEM_TYPES: readonly FileSystemType[] = ['ext4', 'xfs'];

/** How LUKS2 makes a key of a passphrase. */
export type KeyDerivation = 'argon2id' | 'argon2i' | 'pbkdf2';
export const KEY_DERIVATIONS: readonly KeyDerivation[] = ['argon2id', 'argon2i', 'pbkdf2'];

/** An attached volume as a block device of this machine. */
export interface AttachedDevice {
  /** "/dev/aurochs/<volume>" */
  path: string;
  /** "/dev/sda", "/dev/nbd0": another one after the next attach. */
  kernelPath: string;
  frontend: Frontend;
}

/** The device as it was last seen. */
export interface VolumeDevice extends AttachedDevice {
  /** For a person: why this frontend. */
  why: string;
  /** The size that the kernel was told; the volume may be larger for a moment. */
  sizeBytes: bigint;
}

/** Why a step did not work, and what to do. */
export interface Problem {
  code: ErrorCode;
  message: string;
  hint?: string;
}

/** What a volume was made of: a snapshot, or another volume as it was. */
export interface VolumeSource {
  volumeId: string;
  /** Its name when the copy was asked for. */
  volume: string;
  snapshotId: string;
  /** The snapshot was taken for the copy alone, and goes with it. */
  temporary: boolean;
}

/** A node that may use the volume. */
export interface Publication {
  nodeId: string;
  readOnly: boolean;
  /** Other nodes may have it at the same time. */
  shared: boolean;
}

export interface Volume {
  id: string;
  name: string;
  sizeBytes: bigint;
  createdUnixMs: number;
  /** What the user asked for. */
  desired: UnitForm & {
    attached: boolean;
    frontends: Frontend[];
    /** A block device of this machine besides. When the volume is detached, this goes last. */
    device: { frontend: DeviceFrontend } | null;
    sizeBytes: bigint;
    deleted: boolean;
  };
  labels: Record<string, string>;
  /** Null: it was made blank. */
  source: VolumeSource | null;
  /** While there is one, the volume is attached. */
  publications: Publication[];
  chap: ChapSettings | null;
  /** Allowed iSCSI initiator names; empty means all. */
  initiators: string[];
  /** Fencing token: raised by one at every attach (rule W1). */
  epoch: bigint;
  replicas: ReplicaPlace[];
  /** Removed snapshots are being merged; the volume is held open for that although detached. */
  merging: boolean;
  /** Ids of snapshots that nobody needs any more: they are removed once the volume can be asked. */
  unwanted: string[];
  /** What the agent sees. */
  state: VolumeState;
  robustness: VolumeRobustness;
  /** Null: there is none, or it has not been seen yet. */
  device: VolumeDevice | null;
  /** Why the last step did not work; null when it did. */
  problem: Problem | null;
}

export interface Snapshot {
  id: string;
  name: string;
  volume: string;
  parent: string | null;
  createdUnixMs: number;
  sizeBytes: bigint;
  allocatedBytes: bigint;
  removing: boolean;
  /** Share of the merge done, 0 to 1, once it runs. */
  mergeShare: number | null;
  /** The head stands on this one. */
  headParent: boolean;
  /** Id of the group that it was taken in. */
  group: string | null;
}

export interface GroupMember {
  volumeId: string;
  /** Its name when the group was taken. */
  volume: string;
  snapshotId: string;
  sizeBytes: bigint;
}

/** Snapshots of several volumes at one moment. */
export interface SnapshotGroup {
  id: string;
  name: string;
  createdUnixMs: number;
  /** Taking: written before the first snapshot; what a crash leaves in this state is taken back. */
  state: 'taking' | 'taken';
  members: GroupMember[];
}

export interface Disk {
  id: string;
  nodeId: string;
  path: string;
  /** What kind of disk it is, in the words of whoever runs it. */
  tags: string[];
  createdUnixMs: number;
  fileSystem: string;
  totalBytes: bigint;
  freeBytes: bigint;
  fileBytesMax: bigint;
  /** Directories below `replicas` that no volume claims. Reported, never removed. */
  leftovers: string[];
  problem: Problem | null;
}

export interface DiffRun {
  offsetBytes: bigint;
  lengthBytes: bigint;
  state: 'data' | 'hole';
}

/** How an initiator reaches an attached volume. */
export interface ExportAddress {
  frontend: Frontend;
  /** "iscsi://127.0.0.1:3260/iqn.2026-11.io.aurochs:db/1", "nbd://127.0.0.1:10809/db" or "nbd+unix:///db?socket=…" */
  uri: string;
  address: string;
  /** IQN or export name. */
  name: string;
}
