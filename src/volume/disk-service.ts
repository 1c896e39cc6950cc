/** Disks: directories of this node that hold replicas. A disk is accepted only after a probe. */
import type { Clock } from '../core/clock.js';
import { AurochsError } from '../core/errors.js';
import { newId } from '../core/ids.js';
import { DISKS_MAX } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import { diskNotFound, usablePath } from './disk-path.js';
import { usableTags } from './labels.js';
import type { Disk, Volume } from './model.js';
import { choosePlace, type PlaceNeed, type PlaceWish } from './placement.js';
import type { DiskDirectories, Engine, Store } from './ports.js';
import { changeStored } from './waiting.js';

export interface DiskServiceDeps {
  store: Store;
  engine: Engine;
  directories: DiskDirectories;
  nodeId: string;
  clock: Clock;
  log: Logger;
}

export class DiskService {
  constructor(private readonly deps: DiskServiceDeps) {}

  async list(): Promise<Disk[]> {
    return (await this.deps.store.list('disk')).items.map((item) => item.value);
  }

  async get(id: string): Promise<Disk> {
    const stored = await this.deps.store.get('disk', id);
    if (stored === null) throw diskNotFound(id);
    return stored.value;
  }

  async replicasOn(diskId: string): Promise<Volume[]> {
    const { items } = await this.deps.store.list('volume');
    return items
      .map((item) => item.value)
      .filter((volume) => volume.replicas.some((place) => place.diskId === diskId));
  }

  async add(path: string, tags: readonly string[] = []): Promise<Disk> {
    const wanted = usablePath(path);
    const usable = usableTags('disk tag', tags);
    const { items } = await this.deps.store.list('disk');
    if (items.length >= DISKS_MAX) {
      throw new AurochsError('LIMIT_EXCEEDED', `there are ${DISKS_MAX} disks already`);
    }
    const same = items.find((item) => item.value.path === wanted);
    if (same !== undefined) {
      throw new AurochsError('ALREADY_EXISTS', `disk ${wanted} is there already (${same.key})`);
    }
    // A directory that was a disk before keeps its id: its replicas are known by it.
    const before = await this.deps.directories.readIdentity(wanted);
    if (before !== null) {
      const other = items.find((item) => item.key === before);
      if (other !== undefined) {
        throw new AurochsError(
          'ALREADY_EXISTS',
          `directory ${wanted} is a copy or another name of disk ${other.value.path} (${before})`,
          'Use the path under which it is known, or remove that disk first.',
        );
      }
    }
    const id = before ?? newId();
    if (before === null) await this.deps.directories.writeIdentity(wanted, id);
    try {
      return await this.#addProbed(wanted, id, usable);
    } catch (error) {
      if (before === null) await this.deps.directories.removeIdentity(wanted);
      throw error;
    }
  }

  /** FAILED_PRECONDITION while a volume has its replica there. Removes no data. */
  async remove(id: string): Promise<void> {
    const stored = await this.deps.store.get('disk', id);
    if (stored === null) throw diskNotFound(id);
    const users = await this.replicasOn(id);
    if (users.length > 0) {
      const names = users.slice(0, 3).map((volume) => volume.name);
      throw new AurochsError(
        'FAILED_PRECONDITION',
        `disk ${stored.value.path} holds ${users.length} volume(s): ${names.join(', ')}${users.length > 3 ? ', …' : ''}`,
        'Delete these volumes first.',
      );
    }
    await this.deps.store.delete('disk', id, stored.revision);
    this.deps.log.info('disk removed', { disk: id, path: stored.value.path });
  }

  /** The best of the disks that the wish leaves. */
  async choose(wish: PlaceWish, need: PlaceNeed): Promise<Disk> {
    const nodes = (await this.deps.store.list('node')).items.map((item) => item.value);
    return choosePlace(await this.list(), nodes, wish, need);
  }

  /** In the place of those that it has. */
  async setTags(id: string, tags: readonly string[]): Promise<Disk> {
    const usable = usableTags('disk tag', tags);
    const change = (disk: Disk): Disk => ({ ...disk, tags: usable });
    const stored = await changeStored(this.deps.store, 'disk', id, change, () => diskNotFound(id));
    this.deps.log.info('disk tagged', { disk: id, tags: usable.join(' ') });
    return stored.value;
  }

  async #addProbed(path: string, id: string, tags: string[]): Promise<Disk> {
    const probe = await this.deps.engine.probeDisk(path);
    const disk: Disk = {
      id,
      nodeId: this.deps.nodeId,
      path,
      tags,
      createdUnixMs: this.deps.clock.nowUnixMs(),
      fileSystem: probe.fileSystem,
      totalBytes: probe.totalBytes,
      freeBytes: probe.freeBytes,
      fileBytesMax: probe.fileBytesMax,
      leftovers: [],
      problem: null,
    };
    const stored = await this.deps.store.create('disk', id, disk);
    this.deps.log.info('disk added', { disk: id, path, fileSystem: probe.fileSystem });
    return stored.value;
  }
}
