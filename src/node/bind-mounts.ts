/** A staged volume at the places where its users have it, and what it looks like there. */
import { lstat, open, rm, rmdir, statfs } from 'node:fs/promises';

import { AurochsError } from '../core/errors.js';
import { FILE_SYSTEM_TYPES } from '../volume/model.js';
import type { BindRequest, StagedUsage } from '../volume/ports.js';
import type { BlockDevices } from './block-devices.js';
import type { BlockStagings } from './block-stagings.js';
import { BoundTargets } from './bound-targets.js';
import { CommandError } from './command.js';
import type { Host } from './host-namespaces.js';
import { bindOptions, checkMountOptions, keysOf } from './mount-options.js';
import type { MountEntry } from './mount-table.js';
import {
  makeParent,
  mountedAt,
  mountsAt,
  prepareMountPoint,
  resolveInParent,
  unmountPath,
} from './mounter.js';
import { writableBlock } from './staging-errors.js';
import { isOwnOrDead, placesOf, type VolumeStack } from './volume-stack.js';

/** What is bound: a directory on the host, or a device node. */
interface Source {
  path: string;
  /** As the mount table shows what is bound, a directory or a node of the device. */
  isBound: (there: MountEntry) => boolean;
  readOnly: boolean;
}

/** Where a volume is: at a mount, or (mount null) at the path that names a block staging. */
interface Place {
  kind: 'fileSystem' | 'block';
  path: string;
  mount: MountEntry | null;
}

export class BindMounts {
  readonly #targets: BoundTargets;

  constructor(
    private readonly host: Host,
    private readonly blocks: BlockDevices,
    private readonly records: BlockStagings,
  ) {
    this.#targets = new BoundTargets(host);
  }

  async bind(request: BindRequest, stack: VolumeStack): Promise<void> {
    const { volume, kind } = request;
    checkMountOptions(request.mountOptions, FILE_SYSTEM_TYPES);
    const source =
      kind === 'block'
        ? await this.#blockSource(request, stack)
        : await this.#directorySource(request, stack);
    const target = await makeParent(this.host, request.targetPath);
    const there = await mountedAt(this.host, target);
    if (there !== null) {
      if (source.isBound(there) && there.readOnly === source.readOnly) return;
      throw otherMount(volume, target, there);
    }
    if (request.exclusive) refuseElsewhere(volume, stack, [source.path, target]);
    await this.#targets.add(volume, target);
    let created = false;
    try {
      created =
        kind === 'block'
          ? await this.#prepareFile(target)
          : await prepareMountPoint(this.host, target);
      await this.#mount(request, source, target);
    } catch (error) {
      // Binding and making it read-only are two steps of one command.
      for (const entry of await mountsAt(this.host, target)) {
        await unmountPath(this.host, volume, entry);
      }
      if (created) await this.#removeTarget(volume, target);
      await this.#targets.remove(volume, target);
      throw error;
    }
  }

  /** The mount table decides, not what is mounted: that may be broken, or its device gone. */
  async unbind(volume: string, targetPath: string, stack: VolumeStack): Promise<void> {
    const target = await resolveInParent(this.host, targetPath);
    if (target === null) return this.#targets.remove(volume, targetPath);
    const entries = await mountsAt(this.host, target);
    for (const entry of entries) {
      if (await isOwnOrDead(this.blocks, stack, entry)) continue;
      throw new AurochsError(
        'FAILED_PRECONDITION',
        `volume ${volume} cannot be unbound from ${target}: ${entry.fileSystem} is mounted there, which is not its own`,
        `Look at it: findmnt ${target}`,
      );
    }
    for (const entry of entries.reverse()) await unmountPath(this.host, volume, entry);
    // What the volume has never been at is somebody else's, however empty it is.
    const wasBound = entries.length > 0 || (await this.#targets.has(volume, target));
    if (!wasBound) return;
    await this.#removeTarget(volume, target);
    await this.#targets.remove(volume, target);
  }

  async usage(volume: string, path: string, stack: VolumeStack): Promise<StagedUsage> {
    const place = await this.place(volume, path, stack);
    if (place.kind === 'fileSystem' && place.mount !== null) {
      return this.#fileSystemUsage(place.path, place.mount);
    }
    const totalBytes = stack.top === null ? null : await this.blocks.sizeBytes(stack.top.name);
    return {
      kind: 'block',
      totalBytes: totalBytes ?? 0n,
      usedBytes: totalBytes ?? 0n, // What its user does not use is the user's alone to know.
      availableBytes: 0n,
      inodes: null,
      abnormal: totalBytes === null ? 'its device is gone' : null,
    };
  }

  /** NOT_FOUND when the volume is not at that path. */
  async place(volume: string, path: string, stack: VolumeStack): Promise<Place> {
    const resolved = await resolveInParent(this.host, path);
    const mount = resolved === null ? null : await mountedAt(this.host, resolved);
    if (resolved !== null && mount !== null) {
      const isBlock = mount.fileSystem === 'devtmpfs';
      const kind = isBlock ? 'block' : 'fileSystem';
      if (await isOwnOrDead(this.blocks, stack, mount)) return { kind, path: resolved, mount };
    } else if ((await this.records.ofName(volume))?.path === path) {
      return { kind: 'block', path, mount: null };
    }
    throw new AurochsError(
      'NOT_FOUND',
      `volume ${volume} is neither staged nor bound at ${path}`,
      'Stage it there first.',
    );
  }

  async #directorySource(request: BindRequest, { mounts }: VolumeStack): Promise<Source> {
    const path = await resolveInParent(this.host, request.stagingPath);
    const staged = mounts.filter(({ mountPoint }) => mountPoint === path).at(-1);
    if (path === null || staged === undefined) throw notStaged(request);
    const isBound = ({ deviceNumber, root }: MountEntry): boolean =>
      deviceNumber === staged.deviceNumber && root === staged.root;
    return { path, isBound, readOnly: request.readOnly || staged.readOnly };
  }

  async #blockSource(request: BindRequest, { top, nodes }: VolumeStack): Promise<Source> {
    const { volume, volumeId, stagingPath } = request;
    const record = await this.records.find(volume, volumeId);
    if (record?.path !== stagingPath || top === null) throw notStaged(request);
    const readOnly = request.readOnly || record.readOnly;
    if (readOnly && !(await this.blocks.isReadOnly(top.name))) throw writableBlock(volume);
    const isBound = (there: MountEntry): boolean =>
      nodes.some(({ mountPoint }) => mountPoint === there.mountPoint);
    // By the kernel's name: a link would be followed, and may lead elsewhere after the next attach.
    return { path: `/dev/${top.name}`, isBound, readOnly };
  }

  async #mount(request: BindRequest, source: Source, target: string): Promise<void> {
    const own = bindOptions(request.mountOptions);
    const options = ['bind', ...(source.readOnly ? ['ro'] : []), ...own];
    try {
      await this.host.run('mount', ['-o', options.join(','), '--', source.path, target]);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new AurochsError(
        'FAILED_PRECONDITION',
        `volume ${request.volume} cannot be bound at ${target}: ${error.said || error.reason}`,
        `Are the options right (${keysOf(options)})? See also the end of dmesg.`,
      );
    }
  }

  /** An empty regular file, on which a device node can be mounted; true when it was made. */
  async #prepareFile(target: string): Promise<boolean> {
    const path = this.host.path(target);
    try {
      await (await open(path, 'wx', 0o600)).close();
      return true;
    } catch (error) {
      const info = await lstat(path).catch(() => null);
      if (info?.isFile() === true && info.size === 0) return false;
      throw new AurochsError(
        'FAILED_PRECONDITION',
        `${target} is not an empty file and cannot be made one: ${(error as Error).message}`,
        'Give a path that is not there.',
        { cause: error },
      );
    }
  }

  async #removeTarget(volume: string, target: string): Promise<void> {
    const path = this.host.path(target);
    const info = await lstat(path).catch(() => null);
    if (info === null) return;
    try {
      if (info.isDirectory()) return await rmdir(path);
      if (info.isFile() && info.size === 0) return await rm(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
    }
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${volume} is not at ${target} any more, but something else is: it is not empty`,
      `Look at it, and remove it: ${target}`,
    );
  }

  async #fileSystemUsage(path: string, mount: MountEntry): Promise<StagedUsage> {
    const kind = 'fileSystem';
    const none = { kind, totalBytes: 0n, usedBytes: 0n, availableBytes: 0n, inodes: null } as const;
    if (!(await this.blocks.numberExists(mount.deviceNumber))) {
      return { ...none, abnormal: 'its device is gone' };
    }
    try {
      const info = await statfs(this.host.path(path), { bigint: true });
      return {
        kind,
        totalBytes: info.blocks * info.bsize,
        usedBytes: (info.blocks - info.bfree) * info.bsize,
        availableBytes: info.bavail * info.bsize,
        inodes: { total: info.files, used: info.files - info.ffree, available: info.ffree },
        abnormal:
          mount.fileSystemReadOnly && !mount.readOnly
            ? 'the kernel lets nobody write to it any more, as it does after an error'
            : null,
      };
    } catch (error) {
      return { ...none, abnormal: `it does not answer: ${(error as Error).message}` };
    }
  }
}

/** One user alone is to have it, and another one has it already. */
function refuseElsewhere(
  volume: string,
  { mounts, nodes }: VolumeStack,
  own: readonly string[],
): void {
  const elsewhere = [...mounts, ...nodes].filter(({ mountPoint }) => !own.includes(mountPoint));
  if (elsewhere.length === 0) return;
  throw new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${volume} is to be bound at one place alone, and is at ${placesOf(elsewhere)}`,
    'Unbind it there first.',
  );
}

function notStaged({ volume, kind, stagingPath }: BindRequest): AurochsError {
  const what = kind === 'block' ? 'a block device' : 'a file system';
  return new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${volume} is not staged as ${what} at ${stagingPath}`,
    'Stage it there first, as what it is to be bound.',
  );
}

function otherMount(volume: string, target: string, there: MountEntry): AurochsError {
  const mode = there.readOnly ? 'read-only' : 'writable';
  return new AurochsError(
    'ALREADY_EXISTS',
    `volume ${volume} cannot be bound at ${target}: ${there.fileSystem} is mounted there, ${mode}`,
    'Unbind that first, or give another path.',
  );
}
