import type { NativeHost } from '../native/binding-types.js';
import { translated } from '../native/native-error.js';
import type { KernelNbd, KernelNbdOptions } from '../volume/ports.js';

/** The kernel's NBD client on exports of one host, with errors as the domain knows them. */
export class HostedKernelNbd implements KernelNbd {
  readonly #host: NativeHost;

  constructor(host: NativeHost) {
    this.#host = host;
  }

  connect(options: KernelNbdOptions): Promise<number> {
    return translated(this.#host.connectKernelNbd(options));
  }

  /** BUSY while the kernel holds on to connections that this host knows nothing of. */
  reconnect(index: number, options: KernelNbdOptions): Promise<void> {
    return translated(this.#host.reconnectKernelNbd(index, options));
  }

  resize(index: number, sizeBytes: bigint, identifier: string): Promise<void> {
    return translated(this.#host.resizeKernelNbd(index, sizeBytes, identifier));
  }

  disconnect(index: number): Promise<void> {
    return translated(this.#host.disconnectKernelNbd(index));
  }
}
