/** Disks as sysfs shows them, by kernel name ("sda", "nbd0"): size, and who uses them. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

import type { DeviceUsers } from '../volume/ports.js';
import type { Host } from './host-namespaces.js';
import { type MountEntry, readMountTable } from './mount-table.js';
import { Sysfs } from './sysfs.js';

/** The unit of /sys/block/X/size, whatever the logical block is. */
const SECTOR_BYTES = 512n;

export interface Holder {
  /** "dm-0" */
  kernelName: string;
  /** Device mapper's name where there is one ("mpatha", "luks-data"), else the kernel's. */
  name: string;
  multipath: boolean;
}

export class BlockDevices {
  readonly sysfs: Sysfs;

  constructor(private readonly host: Host) {
    this.sysfs = new Sysfs(host);
  }

  async names(): Promise<string[]> {
    return this.sysfs.list('/sys/block');
  }

  /** Null when there is no such device. */
  async sizeBytes(name: string): Promise<bigint | null> {
    const sectors = await this.sysfs.read(`/sys/block/${name}/size`);
    return sectors === null ? null : BigInt(sectors) * SECTOR_BYTES;
  }

  /** What the disk writes whole; null when there is no such device. */
  async physicalBlockBytes(name: string): Promise<number | null> {
    const bytes = await this.sysfs.read(`/sys/block/${name}/queue/physical_block_size`);
    return bytes === null ? null : Number(bytes);
  }

  /** The kernel lets nobody write to it. */
  async isReadOnly(name: string): Promise<boolean> {
    return (await this.sysfs.read(`/sys/block/${name}/ro`)) === '1';
  }

  /** Whether a mount's device is still there; one of no disk ("0:47") always is. */
  async numberExists(deviceNumber: string): Promise<boolean> {
    return deviceNumber.startsWith('0:') || this.sysfs.exists(`/sys/dev/block/${deviceNumber}`);
  }

  async nodeExists(name: string): Promise<boolean> {
    return this.sysfs.exists(`/dev/${name}`);
  }

  /** The devices that stand on the disk or on its partitions: directly, not those above them. */
  async holders(name: string): Promise<Holder[]> {
    const below = [`/sys/block/${name}`, ...(await this.#partitions(name))];
    const lists = await Promise.all(below.map((path) => this.sysfs.list(`${path}/holders`)));
    return Promise.all([...new Set(lists.flat())].map((holder) => this.#describe(holder)));
  }

  /** Mount points of the disk, its partitions and everything above them; and the devices above. */
  async users(name: string): Promise<DeviceUsers> {
    const { numbers, holders } = await this.#above(name);
    const names = [...holders.values()].flatMap(nodeNames);
    const mounts = await readMountTable(this.host);
    return {
      mountPoints: mounts
        .filter((entry) => numbers.has(entry.deviceNumber) || isNodeOf(entry, [name, ...names]))
        .map(({ mountPoint }) => mountPoint),
      holders: [...holders.values()].map((holder) => holder.name),
    };
  }

  /** One mount of each file system on the disk, its partitions and everything above them. */
  async fileSystems(name: string): Promise<MountEntry[]> {
    const { numbers } = await this.#above(name);
    const first = new Map<string, MountEntry>();
    for (const entry of await readMountTable(this.host)) {
      if (!numbers.has(entry.deviceNumber) || first.has(entry.deviceNumber)) continue;
      first.set(entry.deviceNumber, entry);
    }
    return [...first.values()];
  }

  /** Where the disk itself is mounted. */
  async mounts(name: string): Promise<MountEntry[]> {
    const number = await this.sysfs.read(`/sys/block/${name}/dev`);
    return (await readMountTable(this.host)).filter(({ deviceNumber }) => deviceNumber === number);
  }

  /**
   * Somebody holds the disk for himself alone: a mount or a device above it, even one in a mount namespace that
   * cannot be seen from here. The kernel says so to whoever asks for the same.
   */
  async isClaimed(name: string): Promise<boolean> {
    try {
      const handle = await open(
        this.host.path(`/dev/${name}`),
        constants.O_RDONLY | constants.O_EXCL,
      );
      await handle.close();
      return false;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EBUSY';
    }
  }

  /** Where one of these nodes below /dev is bind mounted, for a user of the raw device. */
  async nodeMounts(names: readonly string[]): Promise<MountEntry[]> {
    return (await readMountTable(this.host)).filter((entry) => isNodeOf(entry, names));
  }

  async #partitions(name: string): Promise<string[]> {
    const entries = await this.sysfs.list(`/sys/block/${name}`);
    const paths = entries
      .filter((entry) => entry.startsWith(name))
      .map((entry) => `/sys/block/${name}/${entry}`);
    const are = await Promise.all(paths.map((path) => this.sysfs.exists(`${path}/partition`)));
    return paths.filter((_, index) => are[index]);
  }

  async #describe(kernelName: string): Promise<Holder> {
    const [name, uuid] = await Promise.all([
      this.sysfs.read(`/sys/block/${kernelName}/dm/name`),
      this.sysfs.read(`/sys/block/${kernelName}/dm/uuid`),
    ]);
    return {
      kernelName,
      name: name ?? kernelName,
      multipath: uuid?.startsWith('mpath-') ?? false,
    };
  }

  async #above(name: string): Promise<{ numbers: Set<string>; holders: Map<string, Holder> }> {
    const numbers = new Set<string>();
    const holders = new Map<string, Holder>();
    const waiting = [name];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      for (const path of [`/sys/block/${next}`, ...(await this.#partitions(next))]) {
        const number = await this.sysfs.read(`${path}/dev`);
        if (number !== null) numbers.add(number);
      }
      for (const holder of await this.holders(next)) {
        if (holders.has(holder.kernelName)) continue;
        holders.set(holder.kernelName, holder);
        waiting.push(holder.kernelName);
      }
    }
    return { numbers, holders };
  }
}

/**
 * Where the node of a device of device mapper may be: mount(8) turns the kernel's name into the other one, which is a
 * link to the first where udev runs, and a node of its own where it does not.
 */
export function nodeNames({ kernelName, name }: Pick<Holder, 'kernelName' | 'name'>): string[] {
  return [kernelName, `mapper/${name}`];
}

function isNodeOf({ fileSystem, root }: MountEntry, names: readonly string[]): boolean {
  return fileSystem === 'devtmpfs' && names.some((name) => root === `/${name}`);
}
