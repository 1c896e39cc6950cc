/** One file system on one device: format what is blank, check what is there, mount it, fill the device. */
import { AurochsError } from '../core/errors.js';
import type { FileSystemType } from '../volume/ports.js';
import type { BlockDevices } from './block-devices.js';
import { CommandError } from './command.js';
import { describe, probe } from './contents.js';
import { checkFileSystem, growFileSystem, makeFileSystem, xfsIsDamaged } from './filesystem.js';
import type { VolumeFormatter } from './format-volume.js';
import type { Host } from './host-namespaces.js';
import { LocalMachine } from './machine.js';
import { keysOf } from './mount-options.js';
import type { MountEntry } from './mount-table.js';
import { mountedAt } from './mounter.js';
import { refuseMultipath } from './multipath.js';

/** A device by both its names. */
export interface Device {
  /** "/dev/aurochs/db", "/dev/mapper/aurochs-db" */
  path: string;
  /** "sda", "dm-0" */
  name: string;
}

/** What a user wants mounted, wherever that is asked for. */
export interface WantedFileSystem {
  volume: string;
  volumeId: string;
  fileSystem: FileSystemType;
  formatOptions: readonly string[];
  readOnly: boolean;
  options: readonly string[];
}

/**
 * A clone has the UUID of its source, and the kernel mounts only one xfs of a UUID at a time. Which device it is we know
 * better, from its serial number. ext4 does not ask.
 */
const ALWAYS: Readonly<Record<FileSystemType, readonly string[]>> = { ext4: [], xfs: ['nouuid'] };

export class VolumeMount {
  constructor(
    private readonly host: Host,
    private readonly blocks: BlockDevices,
    private readonly formatter: VolumeFormatter,
  ) {}

  /** True when it is there already, as wanted; throws when something else is there. */
  async isMountedThere(
    { volume, readOnly, fileSystem }: WantedFileSystem,
    mountPoint: string,
    mounts: readonly MountEntry[],
  ): Promise<boolean> {
    const there = await mountedAt(this.host, mountPoint);
    if (there === null) return false;
    const own = mounts.some(({ deviceNumber }) => deviceNumber === there.deviceNumber);
    if (own && there.readOnly === readOnly && there.fileSystem === fileSystem) return true;
    const what = !own
      ? `another file system (${there.fileSystem}) is mounted there`
      : there.fileSystem !== fileSystem
        ? `it is mounted there as ${there.fileSystem}, not ${fileSystem}`
        : `it is mounted there ${there.readOnly ? 'read-only' : 'writable'} already`;
    throw new AurochsError(
      own ? 'ALREADY_EXISTS' : 'FAILED_PRECONDITION',
      `volume ${volume} cannot be mounted at ${mountPoint}: ${what}`,
      `Unmount it (umount ${mountPoint}), or give another mount point.`,
    );
  }

  /** BUSY when somebody has the device for himself. */
  async refuseHeld(volume: string, device: Device): Promise<void> {
    const holders = await this.blocks.holders(device.name);
    const machine = new LocalMachine(this.host.root);
    await refuseMultipath(volume, device.name, holders, machine, this.host);
    if (holders.length === 0 && !(await this.blocks.isClaimed(device.name))) return;
    const who = holders.map(({ name }) => name).join(', ') || 'a mount in another namespace';
    throw new AurochsError(
      'BUSY',
      `volume ${volume}: /dev/${device.name} is held by ${who}`,
      'Take it down, or mount what stands on the volume instead of the volume.',
    );
  }

  /** Formats what is blank, checks what is there, refuses everything else. */
  async prepare(device: Device, wanted: WantedFileSystem): Promise<void> {
    const { volume, volumeId, fileSystem, readOnly } = wanted;
    await this.refuseHeld(volume, device);
    const contents = await probe(this.host, device.path, volumeId);
    if (contents.kind === 'blank' || contents.kind === 'unfinished') {
      if (readOnly) throw blankReadOnly(volume);
      await this.#format(device, wanted);
    } else if (contents.kind === 'fileSystem' && contents.type === fileSystem) {
      if (!readOnly) await checkFileSystem(this.host, volume, device.path, fileSystem);
    } else {
      throw otherContents(device, volume, describe(contents), fileSystem);
    }
  }

  /** On a device that holds nothing but noise. */
  async overwrite(device: Device, wanted: WantedFileSystem): Promise<void> {
    const { volume, fileSystem: type, formatOptions } = wanted;
    const [target, force, physicalBlockBytes] = [device.path, true, null];
    const request = { type, formatOptions, target, force, physicalBlockBytes };
    await this.host.formats.run(volume, () => makeFileSystem(this.host, volume, request));
  }

  async mount(device: Device, mountPoint: string, wanted: WantedFileSystem): Promise<void> {
    const { volume, fileSystem, readOnly } = wanted;
    // systemd unmounts what has _netdev before it stops the agent, and everything else after.
    const always = [readOnly ? 'ro' : 'rw', '_netdev', ...ALWAYS[fileSystem]];
    const options = [...always, ...wanted.options];
    try {
      const where = ['--', device.path, mountPoint];
      await this.host.run('mount', ['-t', fileSystem, '-o', options.join(','), ...where]);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      if (fileSystem === 'xfs' && (await xfsIsDamaged(this.host, device.path))) {
        throw new AurochsError(
          'CORRUPTION',
          `volume ${volume}: its file system xfs is damaged: ${error.said}`,
          `Take a snapshot (aurochs snapshot create ${volume}), then repair it: xfs_repair ${device.path}`,
        );
      }
      // Without the cause, which has the values of the options.
      throw new AurochsError(
        'FAILED_PRECONDITION',
        `volume ${volume} cannot be mounted at ${mountPoint}: ${error.said || error.reason}`,
        `Are the options (${keysOf(options)}) right for ${fileSystem}? See the end of dmesg.`,
      );
    }
  }

  /** The volume may have been expanded while it was not mounted. */
  async fillDevice(device: Device, mountPoint: string): Promise<void> {
    const mount = await mountedAt(this.host, mountPoint);
    if (mount === null || mount.readOnly) return;
    await growFileSystem(this.host, device.path, mount);
  }

  async #format(device: Device, wanted: WantedFileSystem): Promise<void> {
    const { volume, volumeId, fileSystem: type, formatOptions } = wanted;
    const physicalBlockBytes = await this.blocks.physicalBlockBytes(device.name);
    const sizeBytes = (await this.blocks.sizeBytes(device.name)) ?? 0n;
    await this.formatter.format({ volume, volumeId, path: device.path, sizeBytes }, (target) =>
      makeFileSystem(this.host, volume, {
        ...{ type, formatOptions, target, physicalBlockBytes, force: false },
      }),
    );
  }
}

export function blankReadOnly(volume: string): AurochsError {
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
