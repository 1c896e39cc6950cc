/**
 * The volumes of this machine as block devices: which kind, /dev/aurochs/<volume>, who uses them. The two kinds
 * do the rest (iscsi-device.ts, nbd-device.ts). Nothing is remembered here: sysfs is asked each time.
 */
import { AurochsError } from '../core/errors.js';
import { KeyedMutex } from '../core/keyed-mutex.js';
import { DEVICE_APPEARS_DEADLINE_MS } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import type { Frontend } from '../volume/model.js';
import type {
  AttachedDevice,
  DeviceChoice,
  DeviceFrontend,
  DeviceRequest,
  DeviceUsers,
  KernelNbd,
  NodeDevices,
} from '../volume/ports.js';
import { BlockDevices } from './block-devices.js';
import type { DeviceKind } from './device-kind.js';
import { DeviceLinks, devicePath } from './device-links.js';
import { growFileSystem } from './filesystem.js';
import { freezeAll } from './freeze.js';
import type { Host } from './host-namespaces.js';
import { IscsiDevices } from './iscsi-device.js';
import { LocalMachine } from './machine.js';
import { NbdDevices } from './nbd-device.js';
import { pollUntilTrue } from './poll.js';

const WORD: Record<Frontend, string> = { iscsi: 'iSCSI', nbd: 'NBD' };

/** There while systemd/release-devices takes the devices away, and until they may be made again. */
const RELEASED_FILE = '/run/aurochs/devices-released';

interface FoundDevice {
  frontend: Frontend;
  /** "sda" */
  name: string;
}

export class HostDevices implements NodeDevices {
  readonly #blocks: BlockDevices;
  readonly #links: DeviceLinks;
  readonly #kinds: Record<Frontend, DeviceKind>;
  /** By volume. */
  readonly #mutex = new KeyedMutex();

  constructor(
    private readonly host: Host,
    nbd: KernelNbd,
    logger: Logger,
  ) {
    const machine = new LocalMachine(host.root);
    this.#blocks = new BlockDevices(host);
    this.#links = new DeviceLinks(host);
    this.#kinds = {
      iscsi: new IscsiDevices(host, machine, this.#blocks, logger),
      nbd: new NbdDevices(host, machine, this.#blocks, nbd, logger),
    };
  }

  async choose(wish: DeviceFrontend, offered: readonly Frontend[]): Promise<DeviceChoice> {
    if (wish !== 'auto') {
      const no = await this.#whyNot(wish, offered);
      if (no === null) return { frontend: wish, why: `${WORD[wish]} was asked for` };
      throw new AurochsError('UNSUPPORTED', `no device over ${WORD[wish]}: ${no.message}`, no.hint);
    }
    const iscsi = await this.#whyNot('iscsi', offered);
    if (iscsi === null) return { frontend: 'iscsi', why: 'iscsi_tcp and iscsid can be used' };
    const nbd = await this.#whyNot('nbd', offered);
    if (nbd === null) return { frontend: 'nbd', why: `no iSCSI, as ${iscsi.message}` };
    throw new AurochsError(
      'UNSUPPORTED',
      `no device: over iSCSI, as ${iscsi.message}; over NBD, as ${nbd.message}`,
      `For iSCSI: ${iscsi.hint} For NBD: ${nbd.hint}`,
    );
  }

  attach(request: DeviceRequest): Promise<AttachedDevice> {
    return this.#mutex.run(request.volume, async () => {
      const { volume, from } = request;
      const found = await this.#find(volume);
      if (found !== null && found.frontend !== from.frontend) {
        throw new AurochsError(
          'FAILED_PRECONDITION',
          `volume ${volume} is /dev/${found.name} already, over ${WORD[found.frontend]}`,
          'Detach it first, or attach over the same frontend.',
        );
      }
      if (found === null) await this.#refuseWhileReleased(volume);
      const kind = this.#kinds[from.frontend];
      const { name, created } = await kind.attach(request);
      try {
        await this.#links.removeStale();
        await this.#links.set(volume, name);
      } catch (error) {
        if (created) await kind.remove(volume);
        throw new AurochsError(
          'IO',
          `volume ${volume}: ${devicePath(volume)} cannot be made: ${(error as Error).message}`,
          'Is /dev writable for the agent?',
          { cause: error },
        );
      }
      return attached(volume, { frontend: from.frontend, name });
    });
  }

  async find(volume: string): Promise<AttachedDevice | null> {
    const found = await this.#find(volume);
    return found === null ? null : attached(volume, found);
  }

  async users(volume: string): Promise<DeviceUsers> {
    const found = await this.#find(volume);
    return found === null ? { mountPoints: [], holders: [] } : this.#blocks.users(found.name);
  }

  detach(volume: string, force: boolean): Promise<void> {
    return this.#mutex.run(volume, async () => {
      const found = await this.#find(volume);
      if (found !== null && !force) await this.#refuseInUse(volume, found.name);
      // Both, as there may be a session that has no device, or a record without a session.
      await this.#kinds.iscsi.remove(volume);
      await this.#kinds.nbd.remove(volume);
      await this.#links.remove(volume);
      await this.#links.removeStale();
    });
  }

  async grow(volume: string, sizeBytes: bigint): Promise<void> {
    const name = await this.#mutex.run(volume, () => this.#growDevice(volume, sizeBytes));
    // Not within the mutex: it waits for the device, which may have to be attached again meanwhile.
    const mount = (await this.#blocks.mounts(name)).find(({ readOnly }) => !readOnly);
    // Once is enough: the other mounts show the same file system.
    if (mount !== undefined) await growFileSystem(this.host, devicePath(volume), mount);
  }

  async freeze(volume: string): Promise<() => Promise<boolean>> {
    const { name } = await this.#needed(volume);
    const fileSystems = await this.#blocks.fileSystems(name);
    return freezeAll(this.host, volume, fileSystems);
  }

  /** Returns its kernel name. */
  async #growDevice(volume: string, sizeBytes: bigint): Promise<string> {
    const { frontend, name } = await this.#needed(volume);
    if ((await this.#blocks.sizeBytes(name)) !== sizeBytes) {
      await this.#kinds[frontend].resize(volume, name, sizeBytes);
    }
    const seen = await pollUntilTrue(
      DEVICE_APPEARS_DEADLINE_MS,
      async () => (await this.#blocks.sizeBytes(name)) === sizeBytes,
    );
    if (seen) return name;
    throw new AurochsError(
      'UNAVAILABLE',
      `volume ${volume}: /dev/${name} still has ${await this.#blocks.sizeBytes(name)} bytes, not ${sizeBytes}`,
      'See the end of dmesg; attaching again also makes the kernel look.',
    );
  }

  async #find(volume: string): Promise<FoundDevice | null> {
    for (const frontend of ['iscsi', 'nbd'] as const) {
      const name = await this.#kinds[frontend].find(volume);
      if (name !== null) return { frontend, name };
    }
    return null;
  }

  async #needed(volume: string): Promise<FoundDevice> {
    const found = await this.#find(volume);
    if (found !== null) return found;
    throw new AurochsError(
      'NOT_FOUND',
      `volume ${volume} has no device on this machine`,
      `Make one: aurochs volume attach ${volume} --device`,
    );
  }

  async #whyNot(
    frontend: Frontend,
    offered: readonly Frontend[],
  ): Promise<{ message: string; hint: string } | null> {
    if (!offered.includes(frontend)) {
      const flag = frontend === 'iscsi' ? '--iscsi-portal' : '--nbd-listen';
      return {
        message: `the volume is not offered over ${WORD[frontend]}`,
        hint: `Start the agent with ${flag}, and attach with --frontend ${frontend}.`,
      };
    }
    return this.#kinds[frontend].obstacle();
  }

  /** A device made anew at shutdown would outlive the agent, and the kernel would wait for it before the power goes. */
  async #refuseWhileReleased(volume: string): Promise<void> {
    if (!(await this.#blocks.sysfs.exists(RELEASED_FILE))) return;
    throw new AurochsError(
      'UNAVAILABLE',
      `volume ${volume}: no device is made, as the devices of this machine have been released (shutdown)`,
      'If the machine stays up: systemctl start aurochs-devices.service',
    );
  }

  async #refuseInUse(volume: string, name: string): Promise<void> {
    const { mountPoints, holders } = await this.#blocks.users(name);
    const uses = [
      ...mountPoints.map((mountPoint) => `mounted at ${mountPoint}`),
      ...holders.map((holder) => `held by the device ${holder}`),
    ];
    if (uses.length === 0 && (await this.#blocks.isClaimed(name))) {
      uses.push('in use where this agent cannot see it (a mount of a container, swap)');
    }
    if (uses.length === 0) return;
    throw new AurochsError(
      'BUSY',
      `volume ${volume}: /dev/${name} is ${uses.join(', ')}`,
      'Unmount it and take the devices above it down, then repeat. Force only if its data may be lost.',
    );
  }
}

function attached(volume: string, { frontend, name }: FoundDevice): AttachedDevice {
  return { path: devicePath(volume), kernelPath: `/dev/${name}`, frontend };
}
