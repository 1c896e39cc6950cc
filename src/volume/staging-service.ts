/**
 * Volumes for the users of this machine who come and go, as a CSI driver has them: staged once, bound for each user. It
 * works on volumes that are attached with a device; taking one back also works when the volume is no more.
 */
import { AurochsError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import type { DiskService } from './disk-service.js';
import { checkVolumeName, isPlainPath } from './names.js';
import type { NodeUse } from './node-use.js';
import type { BindRequest, NodeDevices, NodeStaging, StagedUsage, StageRequest } from './ports.js';
import type { VolumeService } from './volume-service.js';

export interface StagingServiceDeps {
  volumes: VolumeService;
  use: NodeUse;
  devices: NodeDevices;
  staging: NodeStaging;
  disks: DiskService;
  /** The agent's own; users have nothing to do there. */
  dataDir: string;
  log: Logger;
}

export type StageVolume = Omit<StageRequest, 'volume' | 'volumeId'>;
export type BindVolume = Omit<BindRequest, 'volume' | 'volumeId'>;

export class StagingService {
  /** Looks under way, by volume and path. */
  readonly #asked = new Map<string, Promise<StagedUsage>>();

  constructor(private readonly deps: StagingServiceDeps) {}

  /** Returns the device that its users get. */
  async stage(name: string, request: StageVolume): Promise<string> {
    checkPath(request.path);
    await this.#refuseOurs(request.path);
    return this.deps.use.withDevice(name, 'is being staged', async (volume) => {
      const readOnly = request.readOnly || volume.desired.readOnly;
      const wanted = { ...request, volume: name, volumeId: volume.id, readOnly };
      const device = await this.deps.staging.stage(wanted);
      const { path, kind } = request;
      this.deps.log.info('volume staged', { volume: name, path, kind, device });
      return device;
    });
  }

  async unstage(name: string, path: string): Promise<void> {
    checkPath(path);
    checkVolumeName(name); // It becomes part of paths, and may be that of a volume that is no more.
    const { use, staging } = this.deps;
    await use.run(name, 'is being unstaged', () => staging.unstage(name, path));
    this.deps.log.info('volume unstaged', { volume: name, path });
  }

  async bind(name: string, request: BindVolume): Promise<void> {
    checkPath(request.stagingPath);
    checkPath(request.targetPath);
    await this.#refuseOurs(request.targetPath);
    await this.deps.use.withDevice(name, 'is being bound', (volume) =>
      this.deps.staging.bind({ ...request, volume: name, volumeId: volume.id }),
    );
    this.deps.log.info('volume bound', { volume: name, targetPath: request.targetPath });
  }

  async unbind(name: string, targetPath: string): Promise<void> {
    checkPath(targetPath);
    checkVolumeName(name); // As above.
    const { use, staging } = this.deps;
    await use.run(name, 'is being unbound', () => staging.unbind(name, targetPath));
    this.deps.log.info('volume unbound', { volume: name, targetPath });
  }

  /**
   * Waits for nobody: it only looks, and whoever polls it must not queue up behind a check that takes an hour. Who asks
   * again while a file system does not answer hears the same answer.
   */
  async usage(name: string, path: string): Promise<StagedUsage> {
    checkPath(path);
    await this.deps.volumes.get(name);
    const key = `${name} ${path}`;
    const asked =
      this.#asked.get(key) ??
      this.deps.staging.usage(name, path).finally(() => this.#asked.delete(key));
    this.#asked.set(key, asked);
    return asked;
  }

  /** Device, mapping and file system become as large as the volume; returns its size. */
  async grow(name: string, path: string): Promise<bigint> {
    checkPath(path);
    return this.deps.use.withDevice(name, 'grows', async ({ sizeBytes }) => {
      await this.deps.devices.grow(name, sizeBytes);
      await this.deps.staging.grow(name, path);
      return sizeBytes;
    });
  }

  /** A directory or file made among replicas could be taken for theirs, and a mount could hide them. */
  async #refuseOurs(path: string): Promise<void> {
    const disks = await this.deps.disks.list();
    const ours = [this.deps.dataDir, ...disks.map((disk) => disk.path)];
    const around = ours.find((each) => path === each || path.startsWith(`${each}/`));
    if (around === undefined) return;
    throw new AurochsError(
      'INVALID_ARGUMENT',
      `${path} is within ${around}, where the agent keeps its volumes`,
      'Give a path elsewhere.',
    );
  }
}

function checkPath(path: string): void {
  if (isPlainPath(path)) return;
  throw new AurochsError(
    'INVALID_ARGUMENT',
    `${JSON.stringify(path)} is not a plain absolute path`,
    'Begin it with "/", end it with a name, and leave out ".", ".." and double slashes.',
  );
}
