import type {
  ChapCredentials,
  FsckFinding,
  HostOptions,
  NativeBinding,
  NativeEvent,
  NativeHost,
  NbdTls,
} from '../native/binding-types.js';
import { toAurochsError, translated } from '../native/native-error.js';
import type {
  DiskProbe,
  Engine,
  EngineEvent,
  EngineSession,
  EngineVolume,
  KernelNbd,
} from '../volume/ports.js';
import { HostedVolume } from './engine-volume.js';
import { HostedKernelNbd } from './kernel-nbd.js';

/** One line of the data path's log. */
export interface EngineLogLine {
  level: 'debug' | 'info' | 'warn' | 'error';
  component: string;
  message: string;
}

/**
 * The data path of this process as the domain sees it. It keeps the process alive until close() has
 * resolved.
 */
export class EngineHost implements Engine {
  /** Block devices of this machine on the host's NBD exports. */
  readonly kernelNbd: KernelNbd;
  readonly #host: NativeHost;
  readonly #log: (line: EngineLogLine) => void;
  readonly #listeners = new Set<(event: EngineEvent) => void>();

  /** Throws INVALID_ARGUMENT, or what keeps the loops from starting. */
  constructor(
    binding: NativeBinding,
    options: HostOptions,
    log: (line: EngineLogLine) => void = () => {},
  ) {
    this.#log = log;
    try {
      this.#host = binding.createHost(options, (event) => this.#deliver(event));
    } catch (error) {
      throw toAurochsError(error);
    }
    this.kernelNbd = new HostedKernelNbd(this.#host);
  }

  get ioBackend(): 'io_uring' | 'epoll' {
    return this.#host.ioBackend;
  }

  /** Returns the address in use. */
  listenIscsi(portal: string): Promise<string> {
    return translated(this.#host.listenIscsi(portal));
  }

  listenNbd(address: string, tls: NbdTls | null): Promise<string> {
    return translated(this.#host.listenNbd(address, tls));
  }

  setDiscoveryAuth(chap: ChapCredentials | null, mutual: ChapCredentials | null): Promise<void> {
    return translated(this.#host.setDiscoveryAuth(chap, mutual));
  }

  createReplica(
    diskPath: string,
    name: string,
    options: { volumeId: string; replicaId: string; sizeBytes: bigint },
  ): Promise<void> {
    return translated(this.#host.createReplica(diskPath, name, options));
  }

  removeReplica(diskPath: string, name: string): Promise<void> {
    return translated(this.#host.removeReplica(diskPath, name));
  }

  async openVolume(diskPath: string, name: string, epoch: bigint): Promise<EngineVolume> {
    return new HostedVolume(await translated(this.#host.openVolume(diskPath, name, epoch)));
  }

  fsckReplica(diskPath: string, name: string): Promise<FsckFinding[]> {
    return translated(this.#host.fsckReplica(diskPath, name));
  }

  probeDisk(path: string): Promise<DiskProbe> {
    return translated(this.#host.probeDisk(path));
  }

  sessions(): EngineSession[] {
    return this.#host.sessions();
  }

  /** Resolves when every loop of the data path has run a task; while one hangs, not at all. */
  ping(): Promise<void> {
    return translated(this.#host.ping());
  }

  subscribe(listener: (event: EngineEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Closes every volume and listener; idempotent. */
  close(): Promise<void> {
    return translated(this.#host.close());
  }

  #deliver(event: NativeEvent): void {
    if (event.type === 'log') return this.#log(event);
    if (event.type === 'eventsDropped') {
      const message = `${event.count} events were dropped: JavaScript was too slow to take them`;
      return this.#log({ level: 'warn', component: 'engine', message });
    }
    for (const listener of [...this.#listeners]) listener(event);
  }
}
