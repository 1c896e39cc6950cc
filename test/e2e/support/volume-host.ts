/** Volumes served in the spec's own process, and what the adapters of the node need to use them here. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';

import { serialOf } from '../../../src/core/ids.js';
import { silentLogger } from '../../../src/core/logger.js';
import { EngineHost } from '../../../src/engine/engine-host.js';
import { loadBinding } from '../../../src/native/binding.js';
import { SystemCommandRunner } from '../../../src/node/command.js';
import { HostDevices } from '../../../src/node/devices.js';
import { HostFileSystems } from '../../../src/node/file-systems.js';
import { Host } from '../../../src/node/host-namespaces.js';
import type { Frontend } from '../../../src/volume/model.js';
import { targetName } from '../../../src/volume/names.js';
import type { DeviceRequest, EngineVolume, IscsiAccess } from '../../../src/volume/ports.js';
import { DISK_MOUNT } from './guest-agent.js';

export const PORTAL = '127.0.0.1:3260';
const NBD_ADDRESS = 'unix:/run/volumes.sock';
const OPEN_TO_ALL: IscsiAccess = { chap: null, mutualChap: null, initiators: [] };

export class VolumeHost {
  #engine: EngineHost | null = null;
  #epoch = 0n;
  readonly #sizes = new Map<string, bigint>();
  readonly volumes = new Map<string, EngineVolume>();

  /** Listens, and opens what it has made before. */
  async start(): Promise<void> {
    this.#epoch += 1n;
    const options = { loops: 1, ioBackend: 'auto', lockMemory: false } as const;
    this.#engine = new EngineHost(loadBinding(), options);
    for (const name of this.#sizes.keys()) await this.#open(name);
    await this.#engine.listenIscsi(PORTAL);
    await this.#engine.listenNbd(NBD_ADDRESS, null);
  }

  /** Every connection ends, as when an agent is stopped. */
  async stop(): Promise<void> {
    await this.#engine?.close();
    this.#engine = null;
    this.volumes.clear();
  }

  async create(name: string, sizeBytes: bigint): Promise<void> {
    const ids = { volumeId: name, replicaId: name, sizeBytes };
    await this.engine.createReplica(DISK_MOUNT, name, ids);
    this.#sizes.set(name, sizeBytes);
    await this.#open(name);
  }

  async expand(name: string, sizeBytes: bigint): Promise<void> {
    await this.volume(name).expand(sizeBytes);
    this.#sizes.set(name, sizeBytes);
  }

  get engine(): EngineHost {
    if (this.#engine === null) throw new Error('the volumes are not being served');
    return this.#engine;
  }

  volume(name: string): EngineVolume {
    const volume = this.volumes.get(name);
    if (volume === undefined) throw new Error(`volume ${name} is not open`);
    return volume;
  }

  request(name: string, frontend: Frontend): DeviceRequest {
    const address = frontend === 'iscsi' ? PORTAL : NBD_ADDRESS;
    const exportName = frontend === 'iscsi' ? targetName(name) : name;
    return {
      volume: name,
      serial: serialOf(name),
      sizeBytes: this.#sizes.get(name) ?? 0n,
      readOnly: false,
      from: { frontend, address, name: exportName, uri: `${frontend}:${address}` },
      chap: null,
    };
  }

  /** For another process that serves: an adapter asks this one, whichever is open when it does. */
  devices(host = new Host(new SystemCommandRunner())): HostDevices {
    return new HostDevices(
      host,
      {
        connect: (options) => this.engine.kernelNbd.connect(options),
        reconnect: (index, options) => this.engine.kernelNbd.reconnect(index, options),
        resize: (index, size, name) => this.engine.kernelNbd.resize(index, size, name),
        disconnect: (index) => this.engine.kernelNbd.disconnect(index),
      },
      silentLogger,
    );
  }

  fileSystems(devices: HostDevices): HostFileSystems {
    return new HostFileSystems(new Host(new SystemCommandRunner()), devices, DISK_MOUNT);
  }

  async #open(name: string): Promise<void> {
    const volume = await this.engine.openVolume(DISK_MOUNT, name, this.#epoch);
    await volume.exportIscsi({
      targetName: targetName(name),
      serial: serialOf(name),
      access: OPEN_TO_ALL,
      readOnly: false,
      removable: false,
      provisioning: 'thin',
    });
    await volume.exportNbd({ name, description: '', readOnly: false });
    this.volumes.set(name, volume);
  }
}

/** Sessions, records, devices, links and mounts that are there because of volumes. */
export function leftovers(): string[] {
  const list = (folder: string): string[] =>
    existsSync(folder) ? readdirSync(folder).map((name) => `${folder}/${name}`) : [];
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return [
    ...list('/sys/class/iscsi_session'),
    ...list('/etc/iscsi/nodes'),
    ...list('/etc/iscsi/static'),
    ...list('/dev/aurochs'),
    ...list('/sys/block').filter((path) => /\/sd[a-z]+$/.test(path)),
    ...list('/sys/block').filter((path) => existsSync(`${path}/backend`)),
    ...mounts.filter((line) => /^\/dev\/(sd|nbd|aurochs)/.test(line)),
  ];
}
