/**
 * Volumes staged for users of this machine: mounted at a path or kept as a block device, behind LUKS if that is wished,
 * and then given to each user by a bind mount (bind-mounts.ts). The kernel is asked each time; nothing is remembered
 * in the process.
 */
import type { AurochsError } from '../core/errors.js';
import type {
  BindRequest,
  NodeDevices,
  NodeStaging,
  StageRequest,
  StagedUsage,
} from '../volume/ports.js';
import { BindMounts } from './bind-mounts.js';
import { BlockDevices } from './block-devices.js';
import { type BlockStaging, BlockStagings } from './block-stagings.js';
import { probe } from './contents.js';
import { EncryptedDevices, isOurLabel } from './encrypted-device.js';
import { growFileSystem } from './filesystem.js';
import { VolumeFormatter } from './format-volume.js';
import type { Host } from './host-namespaces.js';
import { growContainer } from './luks.js';
import { parseFormatOptions } from './mkfs-options.js';
import { checkMountOptions } from './mount-options.js';
import type { MountEntry } from './mount-table.js';
import {
  makeParent,
  mountsAt,
  prepareMountPoint,
  removeMountPoint,
  resolveInParent,
  unmountPath,
} from './mounter.js';
import {
  refuseOtherEncryption,
  stagedOtherwise,
  stillBound,
  type Where,
  writableBlock,
} from './staging-errors.js';
import { type Device, VolumeMount, type WantedFileSystem } from './volume-mount.js';
import { isOwnOrDead, noDevice, placesOf, readStack, type VolumeStack } from './volume-stack.js';

export class HostStaging implements NodeStaging {
  readonly #blocks: BlockDevices;
  readonly #formatter: VolumeFormatter;
  readonly #mount: VolumeMount;
  readonly #encrypted: EncryptedDevices;
  readonly #records: BlockStagings;
  readonly #binds: BindMounts;

  constructor(
    private readonly host: Host,
    private readonly devices: Pick<NodeDevices, 'find'>,
    imageDirectory: string,
  ) {
    this.#blocks = new BlockDevices(host);
    this.#formatter = new VolumeFormatter(host, imageDirectory);
    this.#mount = new VolumeMount(host, this.#blocks, this.#formatter);
    this.#encrypted = new EncryptedDevices(host, this.#blocks, this.#formatter, this.#mount);
    this.#records = new BlockStagings(host);
    this.#binds = new BindMounts(host, this.#blocks, this.#records);
  }

  async stage(request: StageRequest): Promise<string> {
    checkMountOptions(request.mountOptions, [request.fileSystem]);
    parseFormatOptions(request.fileSystem, request.formatOptions);
    const stack = await this.#stack(request.volume);
    if (stack.device === null) throw noDevice(request.volume);
    return request.kind === 'block'
      ? this.#stageBlock(request, stack.device, stack)
      : this.#stageFileSystem(request, stack.device, stack);
  }

  async unstage(volume: string, path: string): Promise<void> {
    const stack = await this.#stack(volume);
    const place = await resolveInParent(this.host, path);
    const here = place === null ? [] : await mountsAt(this.host, place);
    const own: MountEntry[] = [];
    for (const entry of here) {
      if (await isOwnOrDead(this.#blocks, stack, entry)) own.push(entry);
    }
    const record = await this.#records.ofName(volume);
    const others = [...stack.mounts, ...stack.nodes].filter(
      ({ mountPoint }) => mountPoint !== place,
    );
    const isStagedHere = own.length > 0 || record?.path === path;
    if (isStagedHere && others.length > 0) throw stillBound(volume, path, others);
    // What was staged elsewhere stays; what a killed agent has begun goes.
    if (!isStagedHere && (others.length > 0 || record !== null)) return;
    for (const entry of own.reverse()) await unmountPath(this.host, volume, entry);
    if (stack.mapping !== null) await this.#encrypted.close(volume);
    if (record !== null) await this.#records.remove(volume);
  }

  async bind(request: BindRequest): Promise<void> {
    await this.#binds.bind(request, await this.#stack(request.volume));
  }

  async unbind(volume: string, targetPath: string): Promise<void> {
    await this.#binds.unbind(volume, targetPath, await this.#stack(volume));
  }

  async usage(volume: string, path: string): Promise<StagedUsage> {
    return this.#binds.usage(volume, path, await this.#stack(volume));
  }

  async grow(volume: string, path: string): Promise<void> {
    const stack = await this.#stack(volume);
    if (stack.top === null) throw noDevice(volume);
    await this.#binds.place(volume, path, stack);
    if (stack.mapping !== null) await growContainer(this.host, volume);
    // Once is enough: the other mounts show the same file system. A read-only one cannot grow.
    const mount = stack.mounts.find(({ readOnly }) => !readOnly);
    if (mount !== undefined) await growFileSystem(this.host, stack.top.path, mount);
  }

  async #stageFileSystem(
    request: StageRequest,
    device: Device,
    stack: VolumeStack,
  ): Promise<string> {
    const { volume, volumeId, encryption } = request;
    const record = await this.#records.find(volume, volumeId);
    if (record !== null) {
      const where = record.path === request.path ? 'here' : 'elsewhere';
      throw stagedOtherwise(volume, `as a block device at ${record.path}`, where);
    }
    if (stack.nodes.length > 0) throw boundAsBlock(volume, stack);
    const path = await makeParent(this.host, request.path);
    const wanted = { ...request, options: request.mountOptions };
    if (await this.#mount.isMountedThere(wanted, path, stack.mounts)) {
      const top = stack.top ?? device;
      refuseOtherEncryption(volume, stack.mapping !== null, encryption !== null, 'here');
      await this.#mount.fillDevice(top, path);
      return top.path;
    }
    if (stack.mounts.length > 0) throw mountedAsFileSystem(volume, stack, 'elsewhere');
    const created = await prepareMountPoint(this.host, path);
    try {
      return await this.#mountTop(request, wanted, device, path, stack);
    } catch (error) {
      if (created) await removeMountPoint(this.host, path).catch(() => {}); // As below.
      throw error;
    }
  }

  /** REQUIRES: nothing of the volume is mounted. */
  async #mountTop(
    request: StageRequest,
    wanted: WantedFileSystem,
    device: Device,
    path: string,
    stack: VolumeStack,
  ): Promise<string> {
    const { volume, encryption } = request;
    // Left by a killed agent, or on a device that is gone; opening it anew proves the passphrase.
    if (stack.mapping !== null) await this.#encrypted.close(volume);
    const opened =
      encryption === null ? null : await this.#encrypted.open(request, device, encryption);
    const top = opened ?? device;
    try {
      if (opened?.isNew === true) {
        await this.#mount.overwrite(opened, wanted);
        await this.#encrypted.giveAway(volume, device);
      } else {
        await this.#mount.prepare(top, wanted);
      }
      await this.#mount.mount(top, path, wanted);
      await this.#mount.fillDevice(top, path);
      return top.path;
    } catch (error) {
      await this.#undo(volume, path, opened !== null).catch(() => {}); // The first error says more.
      throw error;
    }
  }

  async #undo(volume: string, path: string, isOpen: boolean): Promise<void> {
    const mounts = await mountsAt(this.host, path);
    for (const mount of mounts.reverse()) await unmountPath(this.host, volume, mount);
    if (isOpen) await this.#encrypted.close(volume);
  }

  async #stageBlock(request: StageRequest, device: Device, stack: VolumeStack): Promise<string> {
    const { volume, volumeId, path, readOnly, encryption } = request;
    if (stack.mounts.length > 0) {
      const place = await resolveInParent(this.host, path);
      const isHere = stack.mounts.some(({ mountPoint }) => mountPoint === place);
      throw mountedAsFileSystem(volume, stack, isHere ? 'here' : 'elsewhere');
    }
    const record = await this.#records.find(volume, volumeId);
    if (record !== null) {
      refuseOtherBlock(request, record);
      const sound = encryption === null || stack.mapping?.stale === false;
      if (sound) return (stack.top ?? device).path;
    } else if (stack.nodes.length > 0) {
      throw boundAsBlock(volume, stack);
    }
    if (stack.mapping !== null) await this.#encrypted.close(volume);
    const top = await this.#blockTop(request, device);
    try {
      const encrypted = encryption !== null;
      await this.#records.write(volume, { volumeId, path, readOnly, encrypted });
    } catch (error) {
      if (encryption !== null) await this.#encrypted.close(volume).catch(() => {}); // As above.
      throw error;
    }
    return top.path;
  }

  /** Writes nothing, but takes away what a format has left: a user of the raw volume must not find that. */
  async #blockTop(request: StageRequest, device: Device): Promise<Device> {
    const { volume, volumeId, readOnly, encryption } = request;
    if (encryption !== null) {
      const opened = await this.#encrypted.open(request, device, encryption);
      if (opened.isNew) await this.#encrypted.giveAway(volume, device);
      return opened;
    }
    const isReadOnly = await this.#blocks.isReadOnly(device.name);
    if (readOnly && !isReadOnly) throw writableBlock(volume);
    await this.#mount.refuseHeld(volume, device);
    const contents = await probe(this.host, device.path, volumeId);
    if (contents.kind === 'encrypted' && isOurLabel(contents.label)) {
      refuseOtherEncryption(volume, true, false, 'elsewhere');
    }
    if (contents.kind === 'unfinished' && !isReadOnly) {
      await this.#formatter.clearUnfinished({ volume, volumeId, path: device.path });
    }
    return device;
  }

  #stack(volume: string): Promise<VolumeStack> {
    return readStack(this.#blocks, this.devices, volume);
  }
}

function refuseOtherBlock(request: StageRequest, record: BlockStaging): void {
  const { volume, path, readOnly, encryption } = request;
  if (record.path !== path || record.readOnly !== readOnly) {
    const how = record.readOnly ? 'read-only' : 'writable';
    const where = record.path === path ? 'here' : 'elsewhere';
    throw stagedOtherwise(volume, `as a block device at ${record.path}, ${how}`, where);
  }
  refuseOtherEncryption(volume, record.encrypted, encryption !== null, 'here');
}

function boundAsBlock(volume: string, { nodes }: VolumeStack): AurochsError {
  return stagedOtherwise(volume, `as a block device, bound at ${placesOf(nodes)}`, 'elsewhere');
}

function mountedAsFileSystem(volume: string, { mounts }: VolumeStack, where: Where): AurochsError {
  return stagedOtherwise(volume, `with a file system mounted at ${placesOf(mounts)}`, where);
}
