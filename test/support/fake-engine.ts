/**
 * An engine in memory for the tests of the control plane. `FakeDisks` is what is on the disks and outlives a
 * crash; `FakeEngine` is one process. It keeps the contract of the engine port: epochs, busy directories,
 * identity, snapshots in a chain.
 */
import { AurochsError } from '../../src/core/errors.js';
import type {
  DiffPage,
  DiskDirectories,
  DiskProbe,
  Engine,
  EngineEvent,
  EngineSession,
  EngineSnapshot,
  EngineVolume,
  IscsiAccess,
  IscsiExportConfig,
  NbdExportConfig,
  ReplicaCopy,
  ReplicaDescription,
} from '../../src/volume/ports.js';

export interface FakeReplica {
  volumeId: string;
  replicaId: string;
  sizeBytes: bigint;
  epoch: bigint;
  headParent: string;
  snapshots: EngineSnapshot[];
  /** Id of the snapshot whose content it began with; absent when it began empty. */
  copyOf?: string;
  /** Opening fails with this. */
  damaged: AurochsError | null;
}

export class FakeDisks implements DiskDirectories {
  readonly replicas = new Map<string, FakeReplica>(); // By "<disk path>/replicas/<name>".
  readonly identities = new Map<string, string>();
  /** Disks whose names of replicas were made durable. */
  readonly synced: string[] = [];
  fileBytesMax = 16n * 1024n ** 4n;

  /** Makes an empty replica. */
  create(copy: ReplicaCopy): FakeReplica {
    const { diskPath, name, volumeId, replicaId, sizeBytes } = copy;
    const path = `${diskPath}/replicas/${name}`;
    if (this.replicas.has(path)) throw new AurochsError('ALREADY_EXISTS', `${path} exists`);
    const replica: FakeReplica = {
      volumeId,
      replicaId,
      sizeBytes,
      epoch: 0n,
      headParent: '',
      snapshots: [],
      damaged: null,
    };
    this.replicas.set(path, replica);
    return replica;
  }

  async readIdentity(diskPath: string): Promise<string | null> {
    return this.identities.get(diskPath) ?? null;
  }

  async writeIdentity(diskPath: string, diskId: string): Promise<void> {
    this.identities.set(diskPath, diskId);
  }

  async removeIdentity(diskPath: string): Promise<void> {
    this.identities.delete(diskPath);
  }

  async listReplicas(diskPath: string): Promise<string[]> {
    const prefix = `${diskPath}/replicas/`;
    return [...this.replicas.keys()]
      .filter((path) => path.startsWith(prefix))
      .map((path) => path.slice(prefix.length));
  }

  async syncReplicas(diskPath: string): Promise<void> {
    this.synced.push(diskPath);
  }
}

export class FakeEngine implements Engine {
  readonly opened = new Map<string, FakeVolume>(); // By path.
  readonly listeners = new Set<(event: EngineEvent) => void>();
  readonly sessionList: EngineSession[] = [];
  /** Every call in order, for assertions. */
  readonly calls: string[] = [];
  /** Called before and after the effect of every call; what it waits for, the call waits for. */
  hook: (where: 'before' | 'after', call: string) => void | Promise<void> = () => {};
  /** The next call of that name fails with the error. */
  readonly failing = new Map<string, AurochsError>();
  /** Merges end by themselves. */
  mergesEnd = true;

  constructor(readonly disks: FakeDisks) {}

  async act<T>(call: string, effect: () => T): Promise<T> {
    await this.hook('before', call);
    this.calls.push(call);
    const name = call.split(' ')[0] ?? call;
    const failure = this.failing.get(name);
    if (failure !== undefined) throw failure;
    const result = effect();
    await this.hook('after', call);
    return result;
  }

  createReplica(
    diskPath: string,
    name: string,
    options: { volumeId: string; replicaId: string; sizeBytes: bigint },
  ): Promise<void> {
    return this.act(`createReplica ${name}`, () => {
      this.disks.create({ diskPath, name, ...options });
    });
  }

  removeReplica(diskPath: string, name: string): Promise<void> {
    return this.act(`removeReplica ${name}`, () => {
      const path = `${diskPath}/replicas/${name}`;
      if (this.opened.has(path)) throw new AurochsError('BUSY', `${path} is open`);
      if (!this.disks.replicas.delete(path)) throw new AurochsError('NOT_FOUND', `${path} is gone`);
    });
  }

  openVolume(diskPath: string, name: string, epoch: bigint): Promise<EngineVolume> {
    return this.act(`openVolume ${name} ${epoch}`, () => {
      const path = `${diskPath}/replicas/${name}`;
      const replica = this.disks.replicas.get(path);
      if (replica === undefined) throw new AurochsError('NOT_FOUND', `${path} is missing`);
      if (replica.damaged !== null) throw replica.damaged;
      if (this.opened.has(path)) throw new AurochsError('BUSY', `${path} is open`);
      if (epoch < replica.epoch) {
        throw new AurochsError('STALE_EPOCH', `${path} has seen epoch ${replica.epoch}`);
      }
      replica.epoch = epoch;
      const volume = new FakeVolume(this, path, replica);
      this.opened.set(path, volume);
      if (this.mergesEnd) volume.endMerges();
      return volume;
    });
  }

  probeDisk(path: string): Promise<DiskProbe> {
    return this.act(`probeDisk ${path}`, () => ({
      fileSystem: 'fakefs',
      freeBytes: 1n << 40n,
      totalBytes: 1n << 41n,
      fileBytesMax: this.disks.fileBytesMax,
      canShareExtents: false,
    }));
  }

  sessions(): EngineSession[] {
    return this.sessionList;
  }

  subscribe(listener: (event: EngineEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  emit(event: EngineEvent): void {
    for (const listener of this.listeners) listener(event);
  }
}

export class FakeVolume implements EngineVolume {
  iscsi: IscsiExportConfig | null = null;
  nbd: NbdExportConfig | null = null;
  failed = false;
  /** The hold on writes that is on; a test sets it to null as its deadline does. */
  writeHold: symbol | null = null;
  /** Copies under way, by the name of what they make; aborted with what they fail with. */
  readonly #copies = new Map<string, AbortController>();

  constructor(
    readonly engine: FakeEngine,
    readonly path: string,
    readonly replica: FakeReplica,
  ) {}

  #act<T>(call: string, effect: () => T): Promise<T> {
    return this.engine.act(call, () => {
      if (this.engine.opened.get(this.path) !== this) {
        throw new AurochsError('UNAVAILABLE', `${this.path} is closed`);
      }
      return effect();
    });
  }

  describe(): Promise<ReplicaDescription> {
    return this.#act('describe', () => ({
      volumeId: this.replica.volumeId,
      replicaId: this.replica.replicaId,
      sizeBytes: this.replica.sizeBytes,
      epoch: this.replica.epoch,
      headParent: this.replica.headParent,
      headAllocatedBytes: 4096n,
      snapshots: this.replica.snapshots.map((snapshot) => ({ ...snapshot })),
      failed: this.failed,
    }));
  }

  takeSnapshot(id: string, name: string, createdUnixMs: number): Promise<void> {
    return this.#act(`takeSnapshot ${name}`, () => {
      this.replica.snapshots.push({
        id,
        name,
        parent: this.replica.headParent,
        createdUnixMs,
        sizeBytes: this.replica.sizeBytes,
        allocatedBytes: 8192n,
        removing: false,
      });
      this.replica.headParent = id;
    });
  }

  revert(id: string): Promise<void> {
    return this.#act('revert', () => {
      this.replica.headParent = id;
    });
  }

  deleteSnapshot(id: string): Promise<void> {
    return this.#act('deleteSnapshot', () => {
      const snapshot = this.replica.snapshots.find((each) => each.id === id);
      if (snapshot === undefined) throw new AurochsError('NOT_FOUND', `no snapshot ${id}`);
      snapshot.removing = true;
      if (this.engine.mergesEnd) this.endMerges();
    });
  }

  /** Merges what is being removed, and says so a moment later, as a background task would. */
  endMerges(): void {
    for (const gone of this.replica.snapshots.filter((each) => each.removing)) {
      queueMicrotask(() => {
        const { replica } = this;
        if (this.engine.opened.get(this.path) !== this) return;
        replica.snapshots = replica.snapshots
          .filter((each) => each !== gone)
          .map((each) => (each.parent === gone.id ? { ...each, parent: gone.parent } : each));
        if (replica.headParent === gone.id) replica.headParent = gone.parent;
        this.engine.emit({
          type: 'mergeDone',
          volumeId: replica.volumeId,
          snapshotId: gone.id,
          error: null,
        });
      });
    }
  }

  expand(sizeBytes: bigint): Promise<void> {
    return this.#act(`expand ${sizeBytes}`, () => {
      this.replica.sizeBytes = sizeBytes;
    });
  }

  diff(): Promise<DiffPage> {
    return this.#act('diff', () => ({
      runs: [{ offsetBytes: 0n, lengthBytes: 4096n, state: 'data' as const }],
      nextOffsetBytes: null,
    }));
  }

  /** Ends at once when it is cancelled, also while the hook holds it up. */
  async copySnapshot(snapshotId: string, copy: ReplicaCopy): Promise<void> {
    const { name } = copy;
    if (this.#copies.has(name)) throw new AurochsError('BUSY', `${name} is being copied`);
    const ending = new AbortController();
    this.#copies.set(name, ending);
    const aborted = new Promise<never>((_, reject) => {
      ending.signal.addEventListener('abort', () => reject(ending.signal.reason as AurochsError));
    });
    const copied = this.#act(`copySnapshot ${name}`, () => {
      ending.signal.throwIfAborted();
      this.#copy(snapshotId, copy);
      this.#copies.delete(name);
    });
    try {
      await Promise.race([copied, aborted]);
    } finally {
      if (this.#copies.get(name) === ending) this.#copies.delete(name);
    }
  }

  #copy(snapshotId: string, copy: ReplicaCopy): void {
    const snapshot = this.replica.snapshots.find((each) => each.id === snapshotId);
    if (snapshot === undefined) throw new AurochsError('NOT_FOUND', `no snapshot ${snapshotId}`);
    if (snapshot.removing) {
      throw new AurochsError('FAILED_PRECONDITION', `${snapshotId} is being removed`);
    }
    if (copy.sizeBytes < snapshot.sizeBytes) {
      throw new AurochsError('INVALID_ARGUMENT', `${copy.name} is smaller than ${snapshotId}`);
    }
    this.engine.disks.create(copy).copyOf = snapshotId;
    this.engine.emit({ type: 'copyProgress', volumeId: copy.volumeId, share: 1 });
  }

  cancelCopy(name: string): Promise<void> {
    return this.engine.act(`cancelCopy ${name}`, () => this.#endCopy(name));
  }

  #endCopy(name: string): void {
    this.#copies.get(name)?.abort(new AurochsError('ABORTED', `${name} was cancelled`));
    this.#copies.delete(name);
  }

  holdWrites(deadlineMs: number): Promise<() => Promise<boolean>> {
    return this.#act(`holdWrites ${deadlineMs}`, () => {
      if (this.writeHold !== null) throw new AurochsError('BUSY', `${this.path} is held`);
      const hold = Symbol('hold');
      this.writeHold = hold;
      return () =>
        this.engine.act('releaseWrites', () => {
          const wasOn = this.writeHold === hold;
          if (wasOn) this.writeHold = null;
          return wasOn;
        });
    });
  }

  exportIscsi(config: IscsiExportConfig): Promise<void> {
    return this.#act('exportIscsi', () => {
      this.iscsi = config;
    });
  }

  setIscsiAccess(access: IscsiAccess): Promise<void> {
    return this.#act('setIscsiAccess', () => {
      if (this.iscsi !== null) this.iscsi = { ...this.iscsi, access };
    });
  }

  unexportIscsi(): Promise<void> {
    return this.#act('unexportIscsi', () => {
      this.iscsi = null;
    });
  }

  exportNbd(config: NbdExportConfig): Promise<void> {
    return this.#act('exportNbd', () => {
      this.nbd = config;
    });
  }

  unexportNbd(): Promise<void> {
    return this.#act('unexportNbd', () => {
      this.nbd = null;
    });
  }

  close(): Promise<void> {
    return this.engine.act('close', () => {
      this.writeHold = null;
      for (const name of [...this.#copies.keys()]) this.#endCopy(name);
      this.engine.opened.delete(this.path);
    });
  }
}
