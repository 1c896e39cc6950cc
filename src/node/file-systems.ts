/** File systems on the volumes of this machine: format what is blank, check, mount, grow; unmount; trim. */
import { AurochsError } from '../core/errors.js';
import { KeyedMutex } from '../core/keyed-mutex.js';
import type {
  FileSystemType,
  MountRequest,
  NodeDevices,
  NodeFileSystems,
} from '../volume/ports.js';
import { BlockDevices } from './block-devices.js';
import { CommandError } from './command.js';
import {
  checkFileSystem,
  growFileSystem,
  makeFileSystem,
  probe,
  trimFileSystem,
  xfsIsDamaged,
} from './filesystem.js';
import type { Host } from './host-namespaces.js';
import { LocalMachine } from './machine.js';
import type { MountEntry } from './mount-table.js';
import {
  mountedAt,
  prepareMountPoint,
  removeMountPoint,
  resolveMountPoint,
  unmountPath,
} from './mounter.js';
import { refuseMultipath } from './multipath.js';

/** The volume's device, by both its names. */
interface Device {
  /** "/dev/aurochs/db" */
  path: string;
  /** "sda" */
  name: string;
}

export class HostFileSystems implements NodeFileSystems {
  readonly #blocks: BlockDevices;
  readonly #machine: LocalMachine;
  /** By volume. */
  readonly #mutex = new KeyedMutex();

  constructor(
    private readonly host: Host,
    private readonly devices: Pick<NodeDevices, 'find'>,
  ) {
    this.#blocks = new BlockDevices(host);
    this.#machine = new LocalMachine(host.root);
  }

  mount(request: MountRequest): Promise<void> {
    return this.#mutex.run(request.volume, async () => {
      const device = await this.#device(request.volume);
      const mountPoint = await resolveMountPoint(this.host, request.mountPoint);
      const mounts = await this.#blocks.mounts(device.name);
      if (await this.#isMountedThere(request, mountPoint, mounts)) return;

      const created = await prepareMountPoint(this.host, mountPoint);
      try {
        if (mounts.length === 0) await this.#prepareFileSystem(device, request);
        await this.#mount(device, mountPoint, request);
      } catch (error) {
        if (created) await removeMountPoint(this.host, mountPoint);
        throw error;
      }
      await this.#fillDevice(device, mountPoint);
    });
  }

  unmount(volume: string, mountPoint?: string): Promise<void> {
    return this.#mutex.run(volume, async () => {
      const found = await this.devices.find(volume);
      if (found === null) return;
      const name = kernelName(found.kernelPath);
      const only = mountPoint === undefined ? null : await resolveMountPoint(this.host, mountPoint);
      const mounts = await this.#blocks.mounts(name);
      // The last one first: it may lie within an earlier one.
      for (const mount of mounts.reverse()) {
        if (only === null || mount.mountPoint === only) {
          await unmountPath(this.host, volume, mount);
        }
      }
    });
  }

  async trim(volume: string): Promise<bigint> {
    const { name } = await this.#device(volume);
    const [mount] = await this.#blocks.mounts(name);
    if (mount !== undefined) return trimFileSystem(this.host, mount.mountPoint);
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${volume} is not mounted`,
      'Only the mounted file system knows what it does not use: mount it first.',
    );
  }

  async #device(volume: string): Promise<Device> {
    const found = await this.devices.find(volume);
    if (found !== null) return { path: found.path, name: kernelName(found.kernelPath) };
    throw new AurochsError(
      'NOT_FOUND',
      `volume ${volume} has no device on this machine`,
      `Make one: aurochs volume attach ${volume} --device`,
    );
  }

  async #isMountedThere(
    { volume, readOnly }: MountRequest,
    mountPoint: string,
    mounts: readonly MountEntry[],
  ): Promise<boolean> {
    const there = await mountedAt(this.host, mountPoint);
    if (there === null) return false;
    const own = mounts.some(({ deviceNumber }) => deviceNumber === there.deviceNumber);
    if (own && there.readOnly === readOnly) return true;
    const what = own
      ? `it is mounted there ${there.readOnly ? 'read-only' : 'writable'} already`
      : `another file system (${there.fileSystem}) is mounted there`;
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${volume} cannot be mounted at ${mountPoint}: ${what}`,
      `Unmount it (umount ${mountPoint}), or give another mount point.`,
    );
  }

  /** Formats what is blank, checks what is there, refuses everything else. */
  async #prepareFileSystem(device: Device, request: MountRequest): Promise<void> {
    const { volume, fileSystem, readOnly } = request;
    const holders = await this.#blocks.holders(device.name);
    await refuseMultipath(volume, device.name, holders, this.#machine, this.host);
    if (holders.length > 0 || (await this.#blocks.isClaimed(device.name))) {
      const who = holders.map(({ name }) => name).join(', ') || 'a mount in another namespace';
      throw new AurochsError(
        'BUSY',
        `volume ${volume}: /dev/${device.name} is held by ${who}`,
        'Take it down, or mount what stands on the volume instead of the volume.',
      );
    }
    const contents = await probe(this.host, device.path);
    if (contents.kind === 'blank') {
      if (readOnly) throw blankReadOnly(volume);
      await makeFileSystem(this.host, volume, device.path, fileSystem);
    } else if (contents.kind === 'fileSystem' && contents.type === fileSystem) {
      if (!readOnly) await checkFileSystem(this.host, volume, device.path, fileSystem);
    } else {
      const what = contents.kind === 'other' ? contents.what : `the file system ${contents.type}`;
      throw otherContents(device, volume, what, fileSystem);
    }
  }

  async #mount(device: Device, mountPoint: string, request: MountRequest): Promise<void> {
    const { volume, fileSystem, readOnly } = request;
    // systemd unmounts what has _netdev before it stops the agent, and everything else after.
    const options = [readOnly ? 'ro' : 'rw', '_netdev', ...request.options].join(',');
    try {
      const where = ['--', device.path, mountPoint];
      await this.host.run('mount', ['-t', fileSystem, '-o', options, ...where]);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      if (fileSystem === 'xfs' && (await xfsIsDamaged(this.host, device.path))) {
        throw new AurochsError(
          'CORRUPTION',
          `volume ${volume}: its file system xfs is damaged: ${error.said}`,
          `Take a snapshot (aurochs snapshot create ${volume}), then repair it: xfs_repair ${device.path}`,
          { cause: error },
        );
      }
      throw new AurochsError(
        'FAILED_PRECONDITION',
        `volume ${volume} cannot be mounted at ${mountPoint}: ${error.said || error.message}`,
        `Are the options (${options}) right for ${fileSystem}? See the end of dmesg.`,
        { cause: error },
      );
    }
  }

  /** The volume may have been expanded while it was not mounted. */
  async #fillDevice(device: Device, mountPoint: string): Promise<void> {
    const mount = await mountedAt(this.host, mountPoint);
    if (mount === null || mount.readOnly) return;
    await growFileSystem(this.host, device.path, mount);
  }
}

function kernelName(kernelPath: string): string {
  return kernelPath.slice('/dev/'.length);
}

function blankReadOnly(volume: string): AurochsError {
  return new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${volume} is blank, and a read-only mount must not format it`,
    'Mount it writable once.',
  );
}

function otherContents(
  { path }: Device,
  volume: string,
  what: string,
  wanted: FileSystemType,
): AurochsError {
  return new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${volume} holds ${what}, not ${wanted}`,
    `Nothing has been changed. Mount it as what it is; or, if it may be lost, wipe it: wipefs -a ${path} && blkdiscard -z -l 1MiB ${path}`,
  );
}
