/**
 * Devices and file systems in memory for the tests of the control plane. `FakeKernel` is the machine, which outlives
 * an agent and ends with a boot; `FakeNode` is what one process sees of it. It keeps the contract of the ports.
 */
import { AurochsError } from '../../src/core/errors.js';
import { FRONTENDS } from '../../src/volume/exports.js';
import type { Frontend } from '../../src/volume/model.js';
import type {
  AttachedDevice,
  BindRequest,
  DeviceChoice,
  DeviceFrontend,
  DeviceRequest,
  DeviceUsers,
  MountRequest,
  NodeDevices,
  NodeFileSystems,
  NodeStaging,
  StagedUsage,
  StageRequest,
} from '../../src/volume/ports.js';

export interface FakeDevice extends AttachedDevice {
  serial: string;
  sizeBytes: bigint;
  mountPoints: string[];
  /** Where it is staged, by path. */
  staged: Map<string, StageRequest>;
  /** The process whose connection it has; another one has to bring it back to life. */
  connectedTo: FakeNode | null;
}

export class FakeKernel {
  readonly devices = new Map<string, FakeDevice>(); // By volume.
  /** What this machine can do. */
  readonly usable = new Set<Frontend>(FRONTENDS);
  #attached = 0;

  nextName(frontend: Frontend): string {
    return `/dev/${frontend === 'iscsi' ? 'sd' : 'nbd'}${this.#attached++}`;
  }
}

export class FakeNode implements NodeDevices, NodeFileSystems {
  /** Every call in order, for assertions. */
  readonly calls: string[] = [];
  readonly requests: DeviceRequest[] = [];
  /** Called before and after the effect of every call; what it waits for, the call waits for. */
  hook: (where: 'before' | 'after', call: string) => void | Promise<void> = () => {};
  /** Calls of that name fail with the error. */
  readonly failing = new Map<string, AurochsError>();
  /** The file systems held still now. */
  readonly frozen = new Set<string>();
  /** What a thaw says: whether they were still all the time. */
  staysFrozen = true;

  constructor(readonly kernel: FakeKernel) {}

  async act<T>(call: string, effect: () => T): Promise<T> {
    await this.hook('before', call);
    this.calls.push(call);
    const failure = this.failing.get(call.split(' ')[0] ?? call);
    if (failure !== undefined) throw failure;
    const result = effect();
    await this.hook('after', call);
    return result;
  }

  async choose(wish: DeviceFrontend, offered: readonly Frontend[]): Promise<DeviceChoice> {
    const wanted = wish === 'auto' ? FRONTENDS : [wish];
    const frontend = wanted.find((each) => offered.includes(each) && this.kernel.usable.has(each));
    if (frontend === undefined) {
      throw new AurochsError('UNSUPPORTED', `no device over ${wish}`, 'Load the modules.');
    }
    return { frontend, why: `${wish} was wished` };
  }

  attach(request: DeviceRequest): Promise<AttachedDevice> {
    return this.act(`attach ${request.volume}`, () => {
      const { volume, serial, sizeBytes, from } = request;
      this.requests.push(request);
      const found = this.kernel.devices.get(volume);
      if (found !== undefined && (found.frontend !== from.frontend || found.serial !== serial)) {
        throw new AurochsError('FAILED_PRECONDITION', `${volume}: another device is there`);
      }
      const device = found ?? {
        path: `/dev/aurochs/${volume}`,
        kernelPath: this.kernel.nextName(from.frontend),
        frontend: from.frontend,
        serial,
        sizeBytes,
        mountPoints: [],
        staged: new Map(),
        connectedTo: null,
      };
      device.sizeBytes = sizeBytes;
      device.connectedTo = this;
      this.kernel.devices.set(volume, device);
      return shown(device);
    });
  }

  async find(volume: string): Promise<AttachedDevice | null> {
    const device = this.kernel.devices.get(volume);
    return device === undefined ? null : shown(device);
  }

  async users(volume: string): Promise<DeviceUsers> {
    return { mountPoints: this.kernel.devices.get(volume)?.mountPoints ?? [], holders: [] };
  }

  detach(volume: string, force: boolean): Promise<void> {
    return this.act(`detach ${volume}${force ? ' by force' : ''}`, () => {
      const device = this.kernel.devices.get(volume);
      if (!force && device !== undefined && device.mountPoints.length > 0) {
        throw new AurochsError('BUSY', `${volume} is mounted at ${device.mountPoints.join(' ')}`);
      }
      this.kernel.devices.delete(volume);
    });
  }

  grow(volume: string, sizeBytes: bigint): Promise<void> {
    return this.act(`grow ${volume}`, () => {
      this.needed(volume).sizeBytes = sizeBytes;
    });
  }

  freeze(volume: string): Promise<() => Promise<boolean>> {
    return this.act(`freeze ${volume}`, () => {
      this.frozen.add(volume);
      return () => this.act(`thaw ${volume}`, () => this.frozen.delete(volume) && this.staysFrozen);
    });
  }

  mount({ volume, mountPoint }: MountRequest): Promise<void> {
    return this.act(`mount ${volume} ${mountPoint}`, () => {
      addOnce(this.needed(volume).mountPoints, mountPoint);
    });
  }

  unmount(volume: string, mountPoint?: string): Promise<void> {
    return this.act(`unmount ${volume}`, () => {
      const device = this.kernel.devices.get(volume);
      if (device === undefined) return;
      device.mountPoints = device.mountPoints.filter(
        (each) => mountPoint !== undefined && each !== mountPoint,
      );
    });
  }

  trim(volume: string): Promise<bigint> {
    return this.act(`trim ${volume}`, () => BigInt(this.needed(volume).mountPoints.length) * 4096n);
  }

  needed(volume: string): FakeDevice {
    const device = this.kernel.devices.get(volume);
    if (device === undefined) throw new AurochsError('NOT_FOUND', `${volume} has no device`);
    return device;
  }
}

/** A bound volume is mounted for the kernel; one that is staged as a block device is not. */
export class FakeStaging implements NodeStaging {
  constructor(private readonly node: FakeNode) {}

  stage(request: StageRequest): Promise<string> {
    return this.node.act(`stage ${request.volume} ${request.path}`, () => {
      const device = this.node.needed(request.volume);
      device.staged.set(request.path, request);
      if (request.kind === 'fileSystem') addOnce(device.mountPoints, request.path);
      return request.encryption === null ? device.path : `/dev/mapper/aurochs-${request.volume}`;
    });
  }

  unstage(volume: string, path: string): Promise<void> {
    return this.node.act(`unstage ${volume} ${path}`, () => {
      const device = this.node.kernel.devices.get(volume);
      device?.staged.delete(path);
      this.#unmount(volume, path);
    });
  }

  bind({ volume, targetPath }: BindRequest): Promise<void> {
    return this.node.act(`bind ${volume} ${targetPath}`, () =>
      addOnce(this.node.needed(volume).mountPoints, targetPath),
    );
  }

  unbind(volume: string, targetPath: string): Promise<void> {
    return this.node.act(`unbind ${volume} ${targetPath}`, () => this.#unmount(volume, targetPath));
  }

  usage(volume: string, path: string): Promise<StagedUsage> {
    return this.node.act(`usage ${volume} ${path}`, () => {
      const { sizeBytes, staged } = this.node.needed(volume);
      return {
        kind: staged.get(path)?.kind ?? 'fileSystem',
        totalBytes: sizeBytes,
        usedBytes: 0n,
        availableBytes: sizeBytes,
        inodes: { total: 16n, used: 11n, available: 5n },
        abnormal: null,
      };
    });
  }

  grow(volume: string, path: string): Promise<void> {
    return this.node.act(`grow ${volume} ${path}`, () => {
      this.node.needed(volume);
    });
  }

  #unmount(volume: string, path: string): void {
    const device = this.node.kernel.devices.get(volume);
    if (device === undefined) return;
    device.mountPoints = device.mountPoints.filter((each) => each !== path);
  }
}

function addOnce(list: string[], item: string): void {
  if (!list.includes(item)) list.push(item);
}

function shown({ path, kernelPath, frontend }: FakeDevice): AttachedDevice {
  return { path, kernelPath, frontend };
}
