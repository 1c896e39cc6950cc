/** Disks: directories of this node that hold replicas. A disk is accepted only after a probe. */
import { isAbsolute, normalize } from 'node:path';
import type { Clock } from '../core/clock.js';
import { AurochsError } from '../core/errors.js';
import { isId, newId } from '../core/ids.js';
import { DISKS_MAX, DISK_PATH_CHARS_MAX } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import type { Disk, Volume } from './model.js';
import type { DiskDirectories, Engine, Store } from './ports.js';

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

  async add(path: string): Promise<Disk> {
    const wanted = usablePath(path);
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
      return await this.#addProbed(wanted, id);
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

  /** The disk with that id or path, or the sound one with the most free space. */
  async choose(wanted?: string): Promise<Disk> {
    const disks = await this.list();
    if (wanted !== undefined) {
      const found = disks.find((disk) => disk.id === wanted || disk.path === normalizePath(wanted));
      if (found === undefined) throw diskNotFound(wanted);
      if (found.problem !== null) {
        throw new AurochsError(found.problem.code, found.problem.message, found.problem.hint);
      }
      return found;
    }
    const sound = disks.filter((disk) => disk.problem === null);
    const [best] = sound.sort((a, b) =>
      a.freeBytes === b.freeBytes ? 0 : a.freeBytes > b.freeBytes ? -1 : 1,
    );
    if (best !== undefined) return best;
    const [broken] = disks;
    throw new AurochsError(
      'FAILED_PRECONDITION',
      broken === undefined
        ? 'this agent has no disk'
        : `no disk can be used; ${broken.path}: ${broken.problem?.message ?? 'unknown'}`,
      'Add one: aurochs disk add DIRECTORY',
    );
  }

  async #addProbed(path: string, id: string): Promise<Disk> {
    const probe = await this.deps.engine.probeDisk(path);
    const disk: Disk = {
      id,
      nodeId: this.deps.nodeId,
      path,
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

function normalizePath(path: string): string {
  const clean = normalize(path);
  return clean.length > 1 && clean.endsWith('/') ? clean.slice(0, -1) : clean;
}

function usablePath(path: string): string {
  if (!isAbsolute(path) || path.length > DISK_PATH_CHARS_MAX || path.includes('\0')) {
    throw new AurochsError(
      'INVALID_ARGUMENT',
      `disk path ${JSON.stringify(path.slice(0, 80))} is not an absolute path of at most ${DISK_PATH_CHARS_MAX} characters`,
      'Give the whole path of a directory, for example /var/lib/aurochs/disk1.',
    );
  }
  return normalizePath(path);
}

function diskNotFound(wanted: string): AurochsError {
  const what = isId(wanted) ? `disk ${wanted}` : `disk ${JSON.stringify(wanted.slice(0, 80))}`;
  return new AurochsError('NOT_FOUND', `there is no ${what}`, '"aurochs disk ls" shows all.');
}
