/**
 * A process that serves one volume over NBD and gives the kernel's client its orders: what an agent is
 * without its control plane. A spec starts it, asks it for one thing after the other, and kills it.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { toAurochsError } from '../../../src/native/native-error.js';
import { loadBinding } from '../../../src/native/binding.js';
import { EngineHost } from '../../../src/engine/engine-host.js';
import type { EngineVolume, KernelNbdOptions } from '../../../src/volume/ports.js';

export interface ServedVolume {
  diskPath: string;
  name: string;
  sizeBytes: bigint;
  /** Where it listens. */
  address: string;
}

/** What the process does when it is asked to. */
class Served {
  constructor(
    private readonly engine: EngineHost,
    private readonly volume: EngineVolume,
  ) {}

  connect(options: KernelNbdOptions): Promise<number> {
    return this.engine.kernelNbd.connect(options);
  }
  reconnect(index: number, options: KernelNbdOptions): Promise<void> {
    return this.engine.kernelNbd.reconnect(index, options);
  }
  disconnect(index: number): Promise<void> {
    return this.engine.kernelNbd.disconnect(index);
  }
  expand(sizeBytes: bigint): Promise<void> {
    return this.volume.expand(sizeBytes);
  }
  connections(): Promise<number> {
    return Promise.resolve(this.engine.sessions().length);
  }
}

type Order = Exclude<keyof Served, 'engine' | 'volume'>;
type Answer = { value: unknown } | { code: string; message: string };

/** The other end, in the spec's process. Orders are given one at a time. */
export class VolumeServer {
  #child: ChildProcess | null = null;
  #epoch = 0n;

  constructor(private readonly served: ServedVolume) {}

  /** Opens the volume, which is made the first time, and listens. */
  async start(): Promise<void> {
    this.#epoch += 1n;
    const child = fork(fileURLToPath(import.meta.url), { serialization: 'advanced' });
    this.#child = child;
    child.send({ ...this.served, epoch: this.#epoch });
    await this.#answer(child);
  }

  async ask<T extends Order>(
    order: T,
    ...args: Parameters<Served[T]>
  ): Promise<Awaited<ReturnType<Served[T]>>> {
    if (this.#child === null) throw new Error('the volume is not being served');
    this.#child.send({ order, args });
    return (await this.#answer(this.#child)) as Awaited<ReturnType<Served[T]>>;
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async #answer(child: ChildProcess): Promise<unknown> {
    const ended = once(child, 'exit').then(() => {
      throw new Error('the process that serves the volume has ended');
    });
    const [answer] = (await Promise.race([once(child, 'message'), ended])) as [Answer];
    if ('value' in answer) return answer.value;
    throw Object.assign(new Error(answer.message), { code: answer.code });
  }
}

async function serve(served: ServedVolume & { epoch: bigint }): Promise<Served> {
  const { diskPath, name, sizeBytes, address, epoch } = served;
  const options = { loops: 1, ioBackend: 'auto', lockMemory: true } as const;
  const engine = new EngineHost(loadBinding(), options, ({ message }) => console.log(message));
  if (epoch === 1n) {
    await engine.createReplica(diskPath, name, { volumeId: name, replicaId: name, sizeBytes });
  }
  const volume = await engine.openVolume(diskPath, name, epoch);
  await volume.exportNbd({ name, description: '', readOnly: false });
  await engine.listenNbd(address, null);
  return new Served(engine, volume);
}

async function answer(work: Promise<unknown>): Promise<void> {
  let message: Answer;
  try {
    message = { value: await work };
  } catch (error) {
    const { code, message: text } = toAurochsError(error);
    message = { code, message: text };
  }
  process.send?.(message);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [first] = (await once(process, 'message')) as [ServedVolume & { epoch: bigint }];
  const serving = serve(first);
  process.on('message', ({ order, args }: { order: Order; args: never[] }) => {
    const carriedOut = serving.then((served) =>
      (served[order] as (...each: never[]) => Promise<unknown>)(...args),
    );
    void answer(carriedOut);
  });
  await answer(serving.then(() => undefined));
}
