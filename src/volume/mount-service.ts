/**
 * File systems on volumes: what a user does who wants a directory, not a block device. Mounts belong to the
 * machine and are not written down: after a boot somebody mounts again.
 */
import { AurochsError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import type { Volume } from './model.js';
import type { OpenVolumes } from './open-volumes.js';
import type { MountRequest, NodeFileSystems } from './ports.js';
import type { VolumeService } from './volume-service.js';

export interface MountServiceDeps {
  volumes: VolumeService;
  open: OpenVolumes;
  fileSystems: NodeFileSystems;
  log: Logger;
}

export type MountVolume = Omit<MountRequest, 'volume' | 'volumeId'>;

export class MountService {
  constructor(private readonly deps: MountServiceDeps) {}

  /** Attaches the volume with a device if need be. What failed is undone. */
  async mount(name: string, request: MountVolume): Promise<Volume> {
    const { volumes, open, fileSystems, log } = this.deps;
    if (!request.mountPoint.startsWith('/')) {
      throw new AurochsError(
        'INVALID_ARGUMENT',
        `mount point ${JSON.stringify(request.mountPoint)} is not an absolute path`,
        'Begin it with "/".',
      );
    }
    const before = await volumes.get(name);
    const volume = await volumes.attach(name, { device: { frontend: 'auto' } });
    try {
      const readOnly = request.readOnly || volume.desired.readOnly;
      const wanted = { volume: name, volumeId: volume.id, ...request, readOnly };
      await open.exclusive(name, () => fileSystems.mount(wanted));
    } catch (error) {
      await volumes.undoAttach(before);
      throw error;
    }
    log.info('volume mounted', { volume: name, mountPoint: request.mountPoint });
    return volume;
  }

  /** From `mountPoint`, or from everywhere. The volume stays attached. */
  async unmount(name: string, mountPoint?: string): Promise<void> {
    await this.deps.volumes.get(name);
    await this.deps.open.exclusive(name, () => this.deps.fileSystems.unmount(name, mountPoint));
    this.deps.log.info('volume unmounted', {
      volume: name,
      mountPoint: mountPoint ?? 'everywhere',
    });
  }

  /** Returns how many bytes the file system gave back. */
  async trim(name: string): Promise<bigint> {
    await this.deps.volumes.get(name);
    return this.deps.open.exclusive(name, () => this.deps.fileSystems.trim(name));
  }
}
