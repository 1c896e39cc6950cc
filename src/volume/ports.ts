/**
 * What the domain needs from outside: the engine (data path of this node), the store, a way to see
 * leftover directories. Adapters implement these; the domain and the reconcilers see nothing else.
 */
import type {
  AttachedDevice,
  ChapSettings,
  DeviceFrontend,
  DiffRun,
  Disk,
  ExportAddress,
  FileSystemType,
  Frontend,
  SnapshotGroup,
  KeyDerivation,
  UnitForm,
  Volume,
} from './model.js';

// -- Engine: the shapes follow the native binding so that its adapter is thin.

export interface DiskProbe {
  fileSystem: string;
  freeBytes: bigint;
  totalBytes: bigint;
  /** The largest file, and so the largest volume, that the file system can hold. */
  fileBytesMax: bigint;
  canShareExtents: boolean;
}

export interface EngineSnapshot {
  id: string;
  name: string;
  /** Id of the snapshot below; empty at the base. */
  parent: string;
  createdUnixMs: number;
  sizeBytes: bigint;
  allocatedBytes: bigint;
  removing: boolean;
}

/** What an open replica says about itself. */
export interface ReplicaDescription {
  volumeId: string;
  replicaId: string;
  sizeBytes: bigint;
  epoch: bigint;
  headParent: string;
  headAllocatedBytes: bigint;
  /** Parents before children. */
  snapshots: EngineSnapshot[];
  /** Data was lost below (D4); writes fail until the replica is rebuilt. */
  failed: boolean;
}

export interface DiffPage {
  runs: DiffRun[];
  /** Where to go on; null at the end of the volume. */
  nextOffsetBytes: bigint | null;
}

export interface EngineChap {
  user: string;
  secret: string;
}

/** Who may log in. */
export interface IscsiAccess {
  chap: EngineChap | null;
  mutualChap: EngineChap | null;
  /** Empty: all. */
  initiators: string[];
}

export interface IscsiExportConfig extends UnitForm {
  targetName: string;
  serial: string;
  access: IscsiAccess;
}

export interface NbdExportConfig {
  name: string;
  description: string;
  readOnly: boolean;
}

/** A session of an initiator with an export of this node. */
export interface EngineSession {
  frontend: Frontend;
  /** Target name or export name. */
  export: string;
  initiator: string;
  address: string;
}

export type EngineEvent =
  | { type: 'sessionOpened' | 'sessionClosed'; session: EngineSession }
  | { type: 'mergeProgress'; volumeId: string; snapshotId: string; share: number }
  | { type: 'mergeDone'; volumeId: string; snapshotId: string; error: string | null }
  | { type: 'copyProgress'; /** Of the new replica. */ volumeId: string; share: number }
  | { type: 'replicaFailed'; volumeId: string; message: string };

/** What a copy of a snapshot becomes: the replica `<diskPath>/replicas/<name>`. */
export interface ReplicaCopy {
  diskPath: string;
  name: string;
  volumeId: string;
  replicaId: string;
  /** At least the snapshot's. */
  sizeBytes: bigint;
}

/** The engine of one open volume. Every promise rejects with an AurochsError. */
export interface EngineVolume {
  describe(): Promise<ReplicaDescription>;
  takeSnapshot(id: string, name: string, createdUnixMs: number): Promise<void>;
  revert(id: string): Promise<void>;
  /** Resolves when the deletion is recorded; progress and end come as events. */
  deleteSnapshot(id: string): Promise<void>;
  expand(sizeBytes: bigint): Promise<void>;
  diff(older: string, newer: string, offsetBytes: bigint, runsMax: number): Promise<DiffPage>;
  /**
   * Makes a new replica of what the snapshot holds. Resolves when it is whole, durable and has its name; before that
   * there is nothing by that name. NO_SPACE before anything is written when it cannot fit. ABORTED when cancelled or
   * when this volume is closed meanwhile. BUSY while as many copies run as may.
   */
  copySnapshot(snapshotId: string, copy: ReplicaCopy): Promise<void>;
  /**
   * Ends the copy to that name, wherever it is, also while its target is being made; nothing is left of it.
   * Idempotent; resolves when it has ended.
   */
  cancelCopy(name: string): Promise<void>;
  /**
   * From its resolution on, nothing changes the volume's data and nothing that was submitted before is still under
   * way; reads and snapshots go on. What is returned lets writes go on and resolves to whether they were held all the
   * time: after `deadlineMs`, and when the volume is closed, they go on by themselves. BUSY while they are held.
   */
  holdWrites(deadlineMs: number): Promise<() => Promise<boolean>>;
  exportIscsi(config: IscsiExportConfig): Promise<void>;
  /** For new logins; FAILED_PRECONDITION while there is no iSCSI export. */
  setIscsiAccess(access: IscsiAccess): Promise<void>;
  unexportIscsi(): Promise<void>;
  exportNbd(config: NbdExportConfig): Promise<void>;
  unexportNbd(): Promise<void>;
  /** Unexports, waits for requests in flight, flushes, closes. */
  close(): Promise<void>;
}

/** The data path of this node. Every promise rejects with an AurochsError. */
export interface Engine {
  createReplica(
    diskPath: string,
    name: string,
    options: { volumeId: string; replicaId: string; sizeBytes: bigint },
  ): Promise<void>;
  /** NOT_FOUND when there is nothing left to remove. */
  removeReplica(diskPath: string, name: string): Promise<void>;
  /** STALE_EPOCH, BUSY and CORRUPTION as the replica says (W1, D2). */
  openVolume(diskPath: string, name: string, epoch: bigint): Promise<EngineVolume>;
  probeDisk(path: string): Promise<DiskProbe>;
  sessions(): EngineSession[];
  /** Listeners hear every event from now on, until they call what is returned. */
  subscribe(listener: (event: EngineEvent) => void): () => void;
}

// -- Store: the bus. One conformance suite (test/support/store-conformance.ts) holds all adapters.

/** The kinds of resource and what each holds. The key is the name, or the disk's id. */
export interface Kinds {
  volume: Volume;
  disk: Disk;
  snapshotGroup: SnapshotGroup;
  node: NodeIdentity;
}
export type Kind = keyof Kinds;

/** The identity of a machine that runs the agent; created at its first start and brought up to date at each. */
export interface NodeIdentity {
  id: string;
  name: string;
  /** What fails together with it: a rack, a room, a data centre. */
  zone: string | null;
  tags: string[];
  createdUnixMs: number;
}

/** Opaque: two revisions may be compared for equality only. */
export type Revision = string;

export interface Stored<K extends Kind> {
  key: string;
  revision: Revision;
  value: Kinds[K];
}

export type StoreEvent<K extends Kind> =
  | { type: 'put'; item: Stored<K> }
  | { type: 'deleted'; key: string; revision: Revision; last: Kinds[K] };

export interface Watch {
  /** No event is delivered after this returns. */
  close(): void;
}

/**
 * Desired and observed state. Values are copied in and out: nobody shares an object with the store.
 * A promise that resolved means: durable.
 */
export interface Store {
  get<K extends Kind>(kind: K, key: string): Promise<Stored<K> | null>;
  /** How many items of a kind there are, without reading them. */
  count(kind: Kind): Promise<number>;
  /** All items of a kind by key, and the revision to watch from. */
  list<K extends Kind>(kind: K): Promise<{ items: Stored<K>[]; revision: Revision }>;
  /** ALREADY_EXISTS when the key is taken. */
  create<K extends Kind>(kind: K, key: string, value: Kinds[K]): Promise<Stored<K>>;
  /** CONFLICT unless `revision` is the newest of this item; NOT_FOUND when it is gone. */
  update<K extends Kind>(
    kind: K,
    key: string,
    value: Kinds[K],
    revision: Revision,
  ): Promise<Stored<K>>;
  /** As update. */
  delete(kind: Kind, key: string, revision: Revision): Promise<void>;
  /**
   * Delivers every change of the kind after `after`, in order, each once. When that cannot be kept
   * (the revision is too old, the connection was lost for too long) `lost` is called instead, once;
   * the caller lists again and watches anew. Neither is called before `watch` has returned.
   */
  watch<K extends Kind>(
    kind: K,
    after: Revision,
    listener: (event: StoreEvent<K>) => void,
    lost: (why: string) => void,
    /** Only changes of this item. */
    key?: string,
  ): Watch;
  close(): Promise<void>;
}

// -- Disks

/** The directory that a disk is. Every promise rejects with an AurochsError. */
export interface DiskDirectories {
  /**
   * The id written into the directory when it became a disk; null if there is none. A disk that is not
   * mounted shows its empty mount point, and this is how we notice.
   */
  readIdentity(diskPath: string): Promise<string | null>;
  /** Creates the directory and its `replicas` if need be, and writes the id durably. */
  writeIdentity(diskPath: string, diskId: string): Promise<void>;
  removeIdentity(diskPath: string): Promise<void>;
  /** Names below `<disk>/replicas`. */
  listReplicas(diskPath: string): Promise<string[]>;
  /** Makes those names durable. */
  syncReplicas(diskPath: string): Promise<void>;
}

// -- Devices: an attached volume as a block device of this machine, through the kernel's initiators.

export interface DeviceChoice {
  frontend: Frontend;
  /** For a person: why this one. */
  why: string;
}

export interface DeviceRequest {
  /** The volume's name. */
  volume: string;
  /** What the device must say of itself, before anything is done with it (serialOf). */
  serial: string;
  sizeBytes: bigint;
  readOnly: boolean;
  /** How the kernel reaches it; its `frontend` decides which initiator. */
  from: ExportAddress;
  chap: ChapSettings | null;
}

export type { AttachedDevice, DeviceFrontend, FileSystemType, KeyDerivation };

/** Who uses a device: mount points, and the names of devices above it (multipath, LUKS, LVM). */
export interface DeviceUsers {
  mountPoints: string[];
  holders: string[];
}

/**
 * The block devices of this machine that are volumes. Every promise rejects with an AurochsError that names the
 * cause and the next step, and what failed has been undone by then. The sessions and devices of the kernel
 * outlive the agent: nothing here is remembered in the process.
 */
export interface NodeDevices {
  choose(wish: DeviceFrontend, offered: readonly Frontend[]): Promise<DeviceChoice>;
  /**
   * Makes the device, or finds the one that is there from before and brings its connection back to life.
   * Idempotent.
   */
  attach(request: DeviceRequest): Promise<AttachedDevice>;
  /** The volume's device as it is now; null when there is none. */
  find(volume: string): Promise<AttachedDevice | null>;
  users(volume: string): Promise<DeviceUsers>;
  /** Ends device, session and record. BUSY while it is mounted or held, unless forced. Idempotent. */
  detach(volume: string, force: boolean): Promise<void>;
  /** Makes the kernel see the size, and the mounted file system fill it. */
  grow(volume: string, sizeBytes: bigint): Promise<void>;
  /**
   * Holds the mounted file systems still, consistent on the device, until the returned function is called, the
   * agent ends, or a watchdog has waited long enough; then it resolves to whether they were still all the time.
   */
  freeze(volume: string): Promise<() => Promise<boolean>>;
}

export interface MountRequest {
  volume: string;
  /** What a format that has begun is known by. */
  volumeId: string;
  /** Where; it must be an empty directory or not be there. */
  mountPoint: string;
  /** What a blank device is formatted with; one that holds something else is refused. */
  fileSystem: FileSystemType;
  readOnly: boolean;
  options: string[];
}

/** File systems on the devices of NodeDevices. Of one volume, one call at a time (NodeUse). */
export interface NodeFileSystems {
  /** Formats a blank device, checks what is there, mounts. Idempotent; undone when it fails. */
  mount(request: MountRequest): Promise<void>;
  /** From everywhere it is mounted, or from one place. Idempotent; BUSY names who is in the way. */
  unmount(volume: string, mountPoint?: string): Promise<void>;
  /** Gives blocks that the mounted file system does not use back; returns how many bytes. */
  trim(volume: string): Promise<bigint>;
}

export type StagingKind = 'fileSystem' | 'block';

/** LUKS2; what is absent is cryptsetup's choice. It counts when the volume is encrypted, later only the passphrase. */
export interface Encryption {
  passphrase: string;
  cipher?: string;
  keySizeBits?: number;
  pbkdf?: KeyDerivation;
}

export interface StageRequest {
  volume: string;
  volumeId: string;
  /** Where the file system is mounted; it only names the staging of a block device. */
  path: string;
  kind: StagingKind;
  /** What a blank volume is formatted with; one that holds something else is refused. */
  fileSystem: FileSystemType;
  formatOptions: string[];
  mountOptions: string[];
  readOnly: boolean;
  encryption: Encryption | null;
}

export interface BindRequest {
  volume: string;
  volumeId: string;
  stagingPath: string;
  /** A directory for a file system, a regular file for a block device; made when it is missing. */
  targetPath: string;
  kind: StagingKind;
  readOnly: boolean;
  /** FAILED_PRECONDITION while the volume is bound elsewhere. */
  exclusive: boolean;
  mountOptions: string[];
}

export interface StagedUsage {
  kind: StagingKind;
  totalBytes: bigint;
  usedBytes: bigint;
  availableBytes: bigint;
  inodes: { total: bigint; used: bigint; available: bigint } | null;
  /** For a person: why it is not sound; null when it is. */
  abnormal: string | null;
}

/**
 * Volumes prepared once for this machine, and given to any number of users at paths of theirs. Everything is idempotent,
 * and what failed has been undone. A volume is staged in one way at a time: ALREADY_EXISTS when it is at that path in
 * another way, FAILED_PRECONDITION when it is elsewhere. Of one volume, one call at a time (NodeUse); `usage` alone may
 * come at any moment.
 */
export interface NodeStaging {
  /** The device that the users get: the volume's, or the mapping on it when it is encrypted. */
  stage(request: StageRequest): Promise<string>;
  /** BUSY while it is bound somewhere. The directory stays. */
  unstage(volume: string, path: string): Promise<void>;
  /** ALREADY_EXISTS when something else is at the target. */
  bind(request: BindRequest): Promise<void>;
  /** Removes the target, too. */
  unbind(volume: string, targetPath: string): Promise<void>;
  /** NOT_FOUND when the volume is neither staged nor bound at that path; the same for grow. */
  usage(volume: string, path: string): Promise<StagedUsage>;
  /** Mapping and file system fill the device. */
  grow(volume: string, path: string): Promise<void>;
}

export interface KernelNbdOptions {
  /** "HOST:PORT" or "unix:PATH" */
  address: string;
  exportName: string;
  connections: number;
  /** A request that has no answer by then fails its connection. */
  requestTimeoutS: number;
  /** How long the kernel keeps requests while it has no connection. */
  deadConnectionTimeoutS: number;
  /** What /sys/block/nbdN/backend will say. */
  identifier: string;
}

/** The kernel's NBD client, over generic netlink. Every promise rejects with an AurochsError. */
export interface KernelNbd {
  /** Takes a free device; returns N of /dev/nbdN. UNSUPPORTED when the kernel has no NBD. */
  connect(options: KernelNbdOptions): Promise<number>;
  /**
   * Gives device N new connections in the place of those that died; also tells it the size anew. BUSY while the
   * kernel has not noticed yet that they have died.
   */
  reconnect(index: number, options: KernelNbdOptions): Promise<void>;
  /** Tells device N its new size; its connections go on as they are. The identifier must be its own. */
  resize(index: number, sizeBytes: bigint, identifier: string): Promise<void>;
  disconnect(index: number): Promise<void>;
}
