/** Volumes as NBD disks: through the kernel's own client, over netlink. */

import { AurochsError, hasCode } from '../core/errors.js';
import {
  DEVICE_APPEARS_DEADLINE_MS,
  DEVICE_GONE_DEADLINE_MS,
  DEVICE_OUTAGE_S_MAX,
  NBD_CONNECTIONS,
  NBD_REQUEST_TIMEOUT_S,
  SESSION_RECOVERY_DEADLINE_MS,
} from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import type { DeviceRequest, KernelNbd, KernelNbdOptions } from '../volume/ports.js';
import type { BlockDevices } from './block-devices.js';
import type { DeviceKind, MadeDevice, Obstacle } from './device-kind.js';
import type { Host } from './host-namespaces.js';
import { ensureModule, moduleObstacle } from './kernel-modules.js';
import type { Machine } from './machine.js';
import { pollUntilTrue } from './poll.js';
import { connectAddress } from './portal-address.js';

/** What the kernel keeps with the device and shows in /sys/block/nbdN/backend; it outlives the agent. */
export function backendIdentifier(volume: string, serial: string): string {
  return `aurochs:${serial}:${volume}`;
}

/** Null when the device is none of ours. */
export function parseBackend(backend: string): { volume: string; serial: string } | null {
  const match = /^aurochs:([0-9a-f]{16}):(.+)$/.exec(backend);
  if (match?.[1] === undefined || match[2] === undefined) return null;
  return { serial: match[1], volume: match[2] };
}

interface NbdDevice {
  index: number;
  serial: string;
}

export class NbdDevices implements DeviceKind {
  constructor(
    private readonly host: Host,
    private readonly machine: Machine,
    private readonly blocks: BlockDevices,
    private readonly nbd: KernelNbd,
    private readonly logger: Logger,
  ) {}

  obstacle(): Promise<Obstacle | null> {
    return moduleObstacle(this.machine, this.host, 'nbd');
  }

  async find(volume: string): Promise<string | null> {
    const device = await this.#deviceOf(volume);
    return device === null ? null : `nbd${device.index}`;
  }

  async attach(request: DeviceRequest): Promise<MadeDevice> {
    await ensureModule(this.machine, this.host, 'nbd');
    const options = await connectOptions(request);
    const existing = await this.#deviceOf(request.volume);
    if (existing !== null) return this.#revive(existing, request, options);
    const index = await this.nbd.connect(options);
    try {
      await this.#verify(index, request);
      return { name: `nbd${index}`, created: true };
    } catch (error) {
      await this.#disconnect(index).catch((undoError: unknown) => {
        this.logger.warn('a failed attach could not be undone', {
          volume: request.volume,
          error: String(undoError),
        });
      });
      throw error;
    }
  }

  async remove(volume: string): Promise<void> {
    const device = await this.#deviceOf(volume);
    if (device !== null) await this.#disconnect(device.index);
  }

  async resize(_volume: string, name: string, sizeBytes: bigint): Promise<void> {
    const identifier = (await this.#backend(name)) ?? '';
    await this.nbd.resize(Number(name.slice('nbd'.length)), sizeBytes, identifier);
  }

  /** The connections died with an agent of before; what the kernel has kept back goes on over new ones. */
  async #revive(
    { index, serial }: NbdDevice,
    request: DeviceRequest,
    options: KernelNbdOptions,
  ): Promise<MadeDevice> {
    if (serial !== request.serial) {
      throw new AurochsError(
        'FAILED_PRECONDITION',
        `volume ${request.volume}: /dev/nbd${index} has the serial number ${serial}, not ${request.serial}`,
        'It belongs to another volume that had this name. Unmount and detach it, then attach again.',
      );
    }
    await this.#reconnect(index, options);
    await this.#verify(index, request);
    return { name: `nbd${index}`, created: false };
  }

  async #reconnect(index: number, options: KernelNbdOptions): Promise<void> {
    let refusal: unknown;
    const done = await pollUntilTrue(SESSION_RECOVERY_DEADLINE_MS, () =>
      this.nbd.reconnect(index, options).then(
        () => true,
        (error: unknown) => {
          if (!hasCode(error, 'BUSY')) throw error;
          refusal = error; // The kernel notices that a connection is dead a moment after we do.
          return false;
        },
      ),
    );
    if (!done) throw refusal;
  }

  async #verify(index: number, { volume, sizeBytes }: DeviceRequest): Promise<void> {
    const name = `nbd${index}`;
    const appeared = await pollUntilTrue(DEVICE_APPEARS_DEADLINE_MS, async () => {
      const size = await this.blocks.sizeBytes(name);
      return size !== null && size > 0n && (await this.blocks.nodeExists(name));
    });
    if (!appeared) {
      throw new AurochsError(
        'UNAVAILABLE',
        `volume ${volume}: connected, but /dev/${name} did not appear within ${DEVICE_APPEARS_DEADLINE_MS / 1000} s`,
        'Is udev or devtmpfs there? See the end of dmesg.',
      );
    }
    const found = await this.blocks.sizeBytes(name);
    if (found === sizeBytes) return;
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${volume}: /dev/${name} has ${found} bytes, the volume ${sizeBytes}`,
      'See the end of dmesg and the log of the agent; then detach and attach again.',
    );
  }

  async #disconnect(index: number): Promise<void> {
    await this.nbd.disconnect(index);
    const gone = await pollUntilTrue(
      DEVICE_GONE_DEADLINE_MS,
      async () => (await this.#backend(`nbd${index}`)) === null,
    );
    if (gone) return;
    throw new AurochsError(
      'BUSY',
      `/dev/nbd${index} has been disconnected, but something still holds it`,
      `Unmount what is on it and end the processes that use it (fuser -vm /dev/nbd${index}), then repeat.`,
    );
  }

  async #deviceOf(volume: string): Promise<NbdDevice | null> {
    for (const name of await this.blocks.names()) {
      const index = /^nbd(\d+)$/.exec(name)?.[1];
      if (index === undefined) continue;
      const backend = parseBackend((await this.#backend(name)) ?? '');
      if (backend?.volume === volume) return { index: Number(index), serial: backend.serial };
    }
    return null;
  }

  async #backend(name: string): Promise<string | null> {
    return this.blocks.sysfs.read(`/sys/block/${name}/backend`);
  }
}

async function connectOptions(request: DeviceRequest): Promise<KernelNbdOptions> {
  const { volume, serial, from } = request;
  if (from.uri.startsWith('nbds:')) {
    throw new AurochsError(
      'UNSUPPORTED',
      `volume ${volume}: the kernel's NBD client has no TLS, and ${from.address} asks for it`,
      'Give the agent an NBD listener on a UNIX socket too: --nbd-listen unix:/run/aurochs/nbd.sock',
    );
  }
  return {
    address: from.address.startsWith('unix:') ? from.address : await connectAddress(from.address),
    exportName: from.name,
    connections: NBD_CONNECTIONS,
    requestTimeoutS: NBD_REQUEST_TIMEOUT_S,
    deadConnectionTimeoutS: DEVICE_OUTAGE_S_MAX,
    identifier: backendIdentifier(volume, serial),
  };
}
