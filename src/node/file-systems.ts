/** File systems on the volumes of this machine: format what is blank, check, mount, grow; unmount; trim. */
import { AurochsError } from '../core/errors.js';
import type { MountRequest, NodeDevices, NodeFileSystems } from '../volume/ports.js';
import { BlockDevices } from './block-devices.js';
import { BlockStagings } from './block-stagings.js';
import { trimFileSystem } from './filesystem.js';
import { VolumeFormatter } from './format-volume.js';
import type { Host } from './host-namespaces.js';
import { checkMountOptions } from './mount-options.js';
import { prepareMountPoint, removeMountPoint, resolveMountPoint, unmountPath } from './mounter.js';
import { stagedOtherwise } from './staging-errors.js';
import { type Device, VolumeMount } from './volume-mount.js';
import { kernelName } from './volume-stack.js';

export class HostFileSystems implements NodeFileSystems {
  readonly #blocks: BlockDevices;
  readonly #mount: VolumeMount;
  readonly #stagings: BlockStagings;

  constructor(
    private readonly host: Host,
    private readonly devices: Pick<NodeDevices, 'find'>,
    imageDirectory: string,
  ) {
    this.#blocks = new BlockDevices(host);
    this.#mount = new VolumeMount(host, this.#blocks, new VolumeFormatter(host, imageDirectory));
    this.#stagings = new BlockStagings(host);
  }

  async mount(request: MountRequest): Promise<void> {
    checkMountOptions(request.options, [request.fileSystem]);
    const wanted = { ...request, formatOptions: [] };
    const device = await this.#device(request.volume);
    const staging = await this.#stagings.find(request.volume, request.volumeId);
    if (staging !== null) {
      const how = `as a block device at ${staging.path}`;
      throw stagedOtherwise(request.volume, how, 'elsewhere');
    }
    const mountPoint = await resolveMountPoint(this.host, request.mountPoint);
    const mounts = await this.#blocks.mounts(device.name);
    if (await this.#mount.isMountedThere(wanted, mountPoint, mounts)) return;

    const created = await prepareMountPoint(this.host, mountPoint);
    try {
      if (mounts.length === 0) await this.#mount.prepare(device, wanted);
      await this.#mount.mount(device, mountPoint, wanted);
    } catch (error) {
      if (created) await removeMountPoint(this.host, mountPoint);
      throw error;
    }
    await this.#mount.fillDevice(device, mountPoint);
  }

  async unmount(volume: string, mountPoint?: string): Promise<void> {
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
  }

  async trim(volume: string): Promise<bigint> {
    const { name } = await this.#device(volume);
    const [mount] = await this.#blocks.fileSystems(name);
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
}
