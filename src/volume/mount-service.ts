/**
 * File systems on volumes: what a user does who wants a directory, not a block device. Mounts belong to the
 * machine and are not written down: after a boot somebody mounts again.
 */
import { AurochsError, hasCode } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import type { Volume } from './model.js';
import type { NodeUse } from './node-use.js';
import type { MountRequest, NodeFileSystems } from './ports.js';
import type { VolumeService } from './volume-service.js';

export interface MountServiceDeps {
  volumes: VolumeService;
  use: NodeUse;
  fileSystems: NodeFileSystems;
  log: Logger;
}

export type MountVolume = Omit<MountRequest, 'volume' | 'volumeId'>;

export class MountService {
  constructor(private readonly deps: MountServiceDeps) {}

  /** Attaches the volume with a device if need be. What failed is undone. */
  async mount(name: string, request: MountVolume): Promise<Volume> {
    const { volumes, use, fileSystems, log } = this.deps;
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
      await use.withDevice(name, 'is being mounted', ({ id: volumeId, desired }) => {
        const readOnly = request.readOnly || desired.readOnly;
        return fileSystems.mount({ volume: name, volumeId, ...request, readOnly });
      });
    } catch (error) {
      await this.#undoAttach(before);
      throw error;
    }
    log.info('volume mounted', { volume: name, mountPoint: request.mountPoint });
    return volume;
  }

  /** Unless somebody else works on the device by now: then it stays. */
  async #undoAttach(before: Volume): Promise<void> {
    const { volumes, use, log } = this.deps;
    try {
      await use.takeAway(before.name, () => volumes.undoAttach(before));
    } catch (error) {
      if (!hasCode(error, 'BUSY')) throw error;
      log.info('a volume stays attached, as somebody else uses it', { volume: before.name });
    }
  }

  /** From `mountPoint`, or from everywhere. The volume stays attached. */
  async unmount(name: string, mountPoint?: string): Promise<void> {
    await this.deps.volumes.get(name);
    const { use, fileSystems, log } = this.deps;
    await use.run(name, 'is being unmounted', () => fileSystems.unmount(name, mountPoint));
    log.info('volume unmounted', {
      volume: name,
      mountPoint: mountPoint ?? 'everywhere',
    });
  }

  /** Returns how many bytes the file system gave back. */
  async trim(name: string): Promise<bigint> {
    await this.deps.volumes.get(name);
    const { use, fileSystems } = this.deps;
    return use.run(name, 'is being trimmed', () => fileSystems.trim(name));
  }
}
