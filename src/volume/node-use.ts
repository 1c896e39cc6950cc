/**
 * Who works on a volume's device with programs of this machine (mkfs, e2fsck, mount, umount, fstrim, cryptsetup): one at a
 * time for each volume. They take from milliseconds to an hour, and wait for the very device that the reconciler may
 * have to bring back to life meanwhile; so none of them ever runs within `exclusive` of OpenVolumes.
 *
 * Lock order: this one, then `exclusive`; never the other way. Whoever has this one takes `exclusive` only for a look.
 */
import { AurochsError } from '../core/errors.js';
import { KeyedMutex } from '../core/keyed-mutex.js';
import type { Volume } from './model.js';
import { type OpenVolumes, volumeNotFound } from './open-volumes.js';
import type { Store } from './ports.js';

export interface NodeUseDeps {
  store: Store;
  open: OpenVolumes;
}

export class NodeUse {
  readonly #mutex = new KeyedMutex(); // By volume name.
  /** What runs, and what waits for its turn: "is being staged". */
  readonly #work = new Map<string, string[]>();

  constructor(private readonly deps: NodeUseDeps) {}

  /** Waits for its turn. `what` is for whoever is in a hurry: "is being staged". */
  async run<T>(name: string, what: string, task: () => Promise<T>): Promise<T> {
    this.#work.set(name, [...(this.#work.get(name) ?? []), what]);
    try {
      return await this.#mutex.run(name, task);
    } finally {
      const rest = (this.#work.get(name) ?? []).slice(1); // They end in the order in which they came.
      if (rest.length === 0) this.#work.delete(name);
      else this.#work.set(name, rest);
    }
  }

  /**
   * As run, for what needs a device. Only a forced detach takes that away meanwhile, and then the programs fail: nobody
   * is in the way of whom the device is taken by force.
   */
  async withDevice<T>(
    name: string,
    what: string,
    task: (volume: Volume) => Promise<T>,
  ): Promise<T> {
    return this.run(name, what, async () => task(await this.#attached(name)));
  }

  /**
   * For whoever wants to take the device or the volume away. BUSY at once while somebody works on it: that may last an
   * hour, and most often ends with a mount, which would be in the way.
   */
  async takeAway<T>(name: string, task: () => Promise<T>): Promise<T> {
    const [what] = this.#work.get(name) ?? [];
    if (what === undefined) return this.#mutex.run(name, task);
    throw new AurochsError(
      'BUSY',
      `volume ${name} ${what} on this machine`,
      'Wait until that has ended, then repeat.',
    );
  }

  async #attached(name: string): Promise<Volume> {
    return this.deps.open.exclusive(name, async () => {
      const volume = (await this.deps.store.get('volume', name))?.value;
      if (volume === undefined) throw volumeNotFound(name);
      if (volume.desired.attached && volume.device !== null) return volume;
      throw new AurochsError(
        'FAILED_PRECONDITION',
        `volume ${name} has no device on this machine`,
        `Make one: aurochs volume attach ${name} --device`,
      );
    });
  }
}
