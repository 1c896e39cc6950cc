/**
 * Devices and file systems in memory for the tests of the control plane. `FakeKernel` is the machine, which outlives
 * an agent and ends with a boot; `FakeNode` is what one process sees of it. It keeps the contract of the ports.
 */
import { AurochsError } from '../../src/core/errors.js';
import { FRONTENDS } from '../../src/volume/exports.js';
import type { Frontend } from '../../src/volume/model.js';
import type {
  AttachedDevice,
  DeviceChoice,
  DeviceFrontend,
  DeviceRequest,
  DeviceUsers,
  MountRequest,
  NodeDevices,
  NodeFileSystems,
} from '../../src/volume/ports.js';

export interface FakeDevice extends AttachedDevice {
  serial: string;
  sizeBytes: bigint;
  mountPoints: string[];
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

  async #act<T>(call: string, effect: () => T): Promise<T> {
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
    return this.#act(`attach ${request.volume}`, () => {
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
    return this.#act(`detach ${volume}${force ? ' by force' : ''}`, () => {
      const device = this.kernel.devices.get(volume);
      if (!force && device !== undefined && device.mountPoints.length > 0) {
        throw new AurochsError('BUSY', `${volume} is mounted at ${device.mountPoints.join(' ')}`);
      }
      this.kernel.devices.delete(volume);
    });
  }

  grow(volume: string, sizeBytes: bigint): Promise<void> {
    return this.#act(`grow ${volume}`, () => {
      this.#needed(volume).sizeBytes = sizeBytes;
    });
  }

  freeze(volume: string): Promise<() => Promise<boolean>> {
    return this.#act(`freeze ${volume}`, () => {
      this.frozen.add(volume);
      return () =>
        this.#act(`thaw ${volume}`, () => this.frozen.delete(volume) && this.staysFrozen);
    });
  }

  mount({ volume, mountPoint }: MountRequest): Promise<void> {
    return this.#act(`mount ${volume} ${mountPoint}`, () => {
      const { mountPoints } = this.#needed(volume);
      if (!mountPoints.includes(mountPoint)) mountPoints.push(mountPoint);
    });
  }

  unmount(volume: string, mountPoint?: string): Promise<void> {
    return this.#act(`unmount ${volume}`, () => {
      const device = this.kernel.devices.get(volume);
      if (device === undefined) return;
      device.mountPoints = device.mountPoints.filter(
        (each) => mountPoint !== undefined && each !== mountPoint,
      );
    });
  }

  trim(volume: string): Promise<bigint> {
    return this.#act(
      `trim ${volume}`,
      () => BigInt(this.#needed(volume).mountPoints.length) * 4096n,
    );
  }

  #needed(volume: string): FakeDevice {
    const device = this.kernel.devices.get(volume);
    if (device === undefined) throw new AurochsError('NOT_FOUND', `${volume} has no device`);
    return device;
  }
}

function shown({ path, kernelPath, frontend }: FakeDevice): AttachedDevice {
  return { path, kernelPath, frontend };
}
