/**
 * The exact type of the native addon (native/addon). Sizes and offsets are bytes as bigint; times are
 * milliseconds since 1970 as number. Every promise rejects with an Error whose `code` is an ErrorCode;
 * wrong arguments are a TypeError whose code is INVALID_ARGUMENT.
 *
 * The addon owns its threads: no call blocks JavaScript, and no I/O of an export waits for it.
 */

export interface HostOptions {
  /** Number of data-path loops; volumes are spread over them. */
  loops: number;
  /** 'auto' takes io_uring where the kernel allows it. */
  ioBackend: 'auto' | 'io_uring' | 'epoll';
  /** Keeps the memory of the process from being paged out; a warning is logged where that is not allowed. */
  lockMemory: boolean;
}

export interface ChapCredentials {
  user: string;
  secret: string;
}

export interface DiskProbe {
  fileSystem: string;
  freeBytes: bigint;
  totalBytes: bigint;
  /** The largest file, and so the largest volume, that the file system can hold. */
  fileBytesMax: bigint;
  canShareExtents: boolean;
}

export interface NativeSnapshot {
  id: string;
  name: string;
  /** Id of the snapshot below; empty at the base. */
  parent: string;
  createdUnixMs: number;
  sizeBytes: bigint;
  allocatedBytes: bigint;
  removing: boolean;
}

export interface NativeReplica {
  volumeId: string;
  replicaId: string;
  sizeBytes: bigint;
  epoch: bigint;
  headParent: string;
  headAllocatedBytes: bigint;
  snapshots: NativeSnapshot[];
  /** Data was lost below (D4); writes fail until the replica is rebuilt. */
  failed: boolean;
}

export interface DiffPage {
  runs: { offsetBytes: bigint; lengthBytes: bigint; state: 'data' | 'hole' }[];
  /** Where to go on; null at the end of the volume. */
  nextOffsetBytes: bigint | null;
}

export interface FsckFinding {
  severity: 'error' | 'warning';
  message: string;
}

export interface SnapshotCopy {
  /** The new replica is the directory `<diskPath>/replicas/<name>`. */
  diskPath: string;
  name: string;
  volumeId: string;
  replicaId: string;
  /** At least the snapshot's. */
  sizeBytes: bigint;
}

export interface IscsiAccess {
  chap: ChapCredentials | null;
  mutualChap: ChapCredentials | null;
  /** Empty: all. */
  initiators: string[];
}

export interface IscsiExport {
  targetName: string;
  serial: string;
  readOnly: boolean;
  removable: boolean;
  provisioning: 'thin' | 'full';
  access: IscsiAccess;
}

export interface NbdExport {
  name: string;
  description: string;
  readOnly: boolean;
}

export interface NbdTls {
  certificateFile: string;
  keyFile: string;
  clientCaFile: string;
  required: boolean;
}

export interface KernelNbdOptions {
  /** "HOST:PORT" or "unix:PATH" */
  address: string;
  exportName: string;
  /** 1 to 16; more than one only where the export says that it takes several. */
  connections: number;
  /** 1 to 86,400; a request that has no answer by then fails its connection and is sent again. */
  requestTimeoutS: number;
  /** 1 to 86,400; how long the kernel keeps requests while it has no connection. */
  deadConnectionTimeoutS: number;
  /** At most 255 bytes: what /sys/block/nbdN/backend will say (Linux 5.14 and newer). */
  identifier: string;
}

export interface SessionInfo {
  frontend: 'iscsi' | 'nbd';
  /** Target name or export name. */
  export: string;
  initiator: string;
  address: string;
}

export type NativeEvent =
  | { type: 'log'; level: 'debug' | 'info' | 'warn' | 'error'; component: string; message: string }
  | { type: 'sessionOpened' | 'sessionClosed'; session: SessionInfo }
  | { type: 'mergeProgress'; volumeId: string; snapshotId: string; share: number }
  | { type: 'mergeDone'; volumeId: string; snapshotId: string; error: string | null }
  /** Of the new replica's volume. The last one may come a moment after the copy has ended. */
  | { type: 'copyProgress'; volumeId: string; share: number }
  | { type: 'replicaFailed'; volumeId: string; message: string }
  /** JavaScript was too slow to take every event; log lines and sessions are missing. */
  | { type: 'eventsDropped'; count: number };

/** One open replica served by one engine loop. */
export interface NativeVolume {
  describe(): Promise<NativeReplica>;
  takeSnapshot(id: string, name: string, createdUnixMs: number): Promise<void>;
  revert(id: string): Promise<void>;
  /** Resolves when the deletion is recorded; progress and end come as events. */
  deleteSnapshot(id: string): Promise<void>;
  expand(sizeBytes: bigint): Promise<void>;
  diff(older: string, newer: string, offsetBytes: bigint, runsMax: number): Promise<DiffPage>;
  /**
   * Makes a new replica of what the snapshot holds. Resolves when it is whole, durable and has its name; before
   * that there is nothing by that name. NO_SPACE before anything is copied when it cannot fit, ALREADY_EXISTS only
   * when what is there is durable, BUSY while as many run as may, ABORTED when cancelled or when the volume is closed.
   */
  copySnapshot(id: string, copy: SnapshotCopy): Promise<void>;
  /** Ends the copy to that name, if there is one; resolves when nothing is left of it. Also of a closed volume. */
  cancelCopy(name: string): Promise<void>;
  /**
   * Resolves when nothing that changes data is under way, and keeps it so until releaseWrites, close, or for
   * `deadlineMs` (1 to 30,000); reads and snapshots go on. Resolves to the hold's number. BUSY while there is one.
   */
  holdWrites(deadlineMs: number): Promise<number>;
  /** Lets writes go on; resolves to whether that hold was on until now. */
  releaseWrites(hold: number): Promise<boolean>;
  /** One export per frontend: ALREADY_EXISTS while there is one. Ending none succeeds. */
  exportIscsi(config: IscsiExport): Promise<void>;
  /** Who may log in from now on; open sessions stay. FAILED_PRECONDITION while there is no export. */
  setIscsiAccess(access: IscsiAccess): Promise<void>;
  unexportIscsi(): Promise<void>;
  exportNbd(config: NbdExport): Promise<void>;
  unexportNbd(): Promise<void>;
  /**
   * Lets held writes go on, cancels copies, unexports, waits for calls and requests in flight, flushes, closes; idempotent. Other calls fail
   * with UNAVAILABLE from now on. A volume that is collected without it is closed in the background.
   */
  close(): Promise<void>;
}

/**
 * The data path. Keeps the process alive until close() has resolved. When the environment ends before
 * (process.exit, the end of a worker), it is closed in order first.
 */
export interface NativeHost {
  readonly ioBackend: 'io_uring' | 'epoll';
  /** Returns the address in use ("127.0.0.1:3260"). */
  listenIscsi(portal: string): Promise<string>;
  setDiscoveryAuth(chap: ChapCredentials | null, mutual: ChapCredentials | null): Promise<void>;
  listenNbd(address: string, tls: NbdTls | null): Promise<string>;
  /** A replica is the directory `<diskPath>/replicas/<name>`. */
  createReplica(
    diskPath: string,
    name: string,
    options: { volumeId: string; replicaId: string; sizeBytes: bigint },
  ): Promise<void>;
  removeReplica(diskPath: string, name: string): Promise<void>;
  openVolume(diskPath: string, name: string, epoch: bigint): Promise<NativeVolume>;
  /** A volume over the null or the memory device, for benchmarks of a frontend alone. */
  openTestVolume(kind: 'null' | 'memory', sizeBytes: bigint): Promise<NativeVolume>;
  fsckReplica(diskPath: string, name: string): Promise<FsckFinding[]>;
  probeDisk(path: string): Promise<DiskProbe>;
  /** Takes a free device of the kernel's NBD client; resolves to N of /dev/nbdN. */
  connectKernelNbd(options: KernelNbdOptions): Promise<number>;
  /**
   * Gives device N new connections to this host in the place of those that died, and its export's size.
   * BUSY when the kernel has not noticed yet that they are dead.
   */
  reconnectKernelNbd(index: number, options: KernelNbdOptions): Promise<void>;
  /** Tells device N alone that its export has grown; the identifier must be its own. */
  resizeKernelNbd(index: number, sizeBytes: bigint, identifier: string): Promise<void>;
  disconnectKernelNbd(index: number): Promise<void>;
  sessions(): SessionInfo[];
  /** Resolves when every loop has run a task that was posted to it now; while one hangs, not at all. */
  ping(): Promise<void>;
  /** Closes every volume and listener; idempotent. Its threads and descriptors are gone then. */
  close(): Promise<void>;
}

export interface NativeBinding {
  /** Throws what is wrong with the options, or why the loops cannot start. */
  createHost(options: HostOptions, onEvent: (event: NativeEvent) => void): NativeHost;
  /** Why io_uring cannot be used here; null if it can. */
  ioUringProblem(): string | null;
  /** Why the data path's threads are no I/O flushers (prctl(2)) in this process; null if they are. */
  ioFlusherProblem(): string | null;
  /**
   * Sends a state such as "READY=1" to the socket that NOTIFY_SOCKET names; false if the variable is not
   * set. Throws what keeps it from being sent.
   */
  notifySystemd(state: string): boolean;
}
