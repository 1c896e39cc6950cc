/**
 * What the CSI driver may expect of an agent, in memory: the contract of the API without engine, store and kernel. Tests
 * of the driver make it slow, make it fail and look at what it was asked.
 */
import { mkdirSync, rmSync } from 'node:fs';
import type * as api from '../../src/api/types.js';
import { AurochsError, type ErrorCode } from '../../src/core/errors.js';
import { newId } from '../../src/core/ids.js';
import { parseSize } from '../../src/core/units.js';
import type { AgentApi } from '../../src/csi/agent-api.js';

const MIB = 1024n ** 2n;

function refuse(code: ErrorCode, message: string): never {
  throw new AurochsError(code, message);
}

interface ModelVolume {
  body: api.VolumeBody;
  snapshots: api.SnapshotBody[];
  staged: Map<string, api.VolumeStageBody>;
  bound: Map<string, api.VolumeBindBody>;
}

export class ModelAgent implements AgentApi {
  readonly node: api.NodeBody = {
    id: newId(),
    name: 'node-1',
    zone: 'zone-a',
    tags: ['storage'],
    createdAt: '2026-11-27T10:00:00.000Z',
  };
  readonly nodeList: api.NodeBody[] = [this.node];
  readonly disk: api.DiskBody = {
    id: newId(),
    nodeId: this.node.id,
    path: '/disk0',
    createdAt: '2026-11-27T10:00:00.000Z',
    fileSystem: 'xfs',
    totalBytes: String(200n * 1024n * MIB),
    freeBytes: String(100n * 1024n * MIB),
    fileBytesMax: String(64n * 1024n * 1024n * MIB),
    replicas: 0,
    leftovers: [],
    problem: null,
    tags: ['ssd'],
  };
  readonly stored = new Map<string, ModelVolume>();
  readonly groups = new Map<string, api.SnapshotGroupBody>();
  /** Runs of every diff. */
  runs: api.DiffBody['runs'] = [{ offsetBytes: '0', lengthBytes: '4096', state: 'data' }];
  runsPerPage = 2;
  /** A new copy stays "creating" until a test says otherwise. */
  copiesWait = false;
  /** Real directories are made at target paths. */
  makesDirectories = false;

  async health(): Promise<api.HealthBody> {
    return {
      state: 'ready',
      version: '0.0.0',
      pid: 1,
      uptimeMs: 1,
      ioBackend: 'epoll',
      dataDir: '/x',
      addresses: { iscsi: [], nbd: [], api: '/x/api.sock' },
      volumes: { total: this.stored.size, attached: 0, faulted: 0 },
    };
  }

  async nodes(): Promise<api.NodeBody[]> {
    return structuredClone(this.nodeList);
  }

  async disks(): Promise<api.DiskBody[]> {
    return [structuredClone(this.disk)];
  }

  async volumes(): Promise<api.VolumeBody[]> {
    return [...this.stored.values()].map(({ body }) => structuredClone(body));
  }

  async volume(name: string): Promise<api.VolumeBody> {
    return structuredClone(this.#named(name).body);
  }

  async createVolume(request: api.VolumeCreateBody): Promise<api.VolumeBody> {
    const { name, labels = {}, source, diskTags = [], nodeTags = [], nodes = [] } = request;
    if (this.stored.has(name)) refuse('ALREADY_EXISTS', `volume ${name} exists`);
    if (!diskTags.every((tag) => this.disk.tags.includes(tag))) {
      refuse('FAILED_PRECONDITION', `no disk has the tags ${diskTags.join(', ')}`);
    }
    if (!nodeTags.every((tag) => this.node.tags.includes(tag))) {
      refuse('FAILED_PRECONDITION', `no node has the tags ${nodeTags.join(', ')}`);
    }
    if (nodes.length > 0 && !nodes.includes(this.node.id)) {
      refuse('FAILED_PRECONDITION', 'no disk is on a node that was asked for');
    }
    const origin = source === undefined ? null : this.#originOf(source);
    const body = this.#newVolume(name, String(parseSize(request.size)), labels);
    body.source = origin;
    if (origin !== null && this.copiesWait) {
      body.state = 'creating';
      body.copyShare = 0.45;
    }
    this.stored.set(name, { body, snapshots: [], staged: new Map(), bound: new Map() });
    return structuredClone(body);
  }

  async deleteVolume(name: string, withSnapshots?: 'delete' | 'refuse'): Promise<void> {
    const { body, snapshots } = this.#named(name);
    const kept = snapshots.filter(({ removing }) => !removing);
    if (withSnapshots === 'refuse' && kept.length > 0) {
      refuse('FAILED_PRECONDITION', `volume ${name} has ${kept.length} snapshot(s)`);
    }
    if (body.publications.length > 0) refuse('FAILED_PRECONDITION', `volume ${name} is published`);
    this.stored.delete(name);
  }

  async expandVolume(name: string, { size }: api.VolumeExpandBody): Promise<api.VolumeBody> {
    const { body } = this.#named(name);
    body.sizeBytes = String(parseSize(size));
    return structuredClone(body);
  }

  async publishVolume(name: string, request: api.VolumePublishBody): Promise<api.VolumeBody> {
    const { body } = this.#named(name);
    const { readOnly = false, shared = false } = request;
    const node = this.nodeList.find(({ id, name }) => [id, name].includes(request.node));
    if (node === undefined) refuse('NOT_FOUND', `there is no node ${request.node}`);
    const here = body.publications.find(({ nodeId }) => nodeId === node.id);
    if (here !== undefined) {
      if (here.readOnly !== readOnly || here.shared !== shared) {
        refuse('ALREADY_EXISTS', `volume ${name} is published otherwise`);
      }
      return structuredClone(body);
    }
    const other = body.publications.find((each) => !(each.shared && shared && readOnly));
    if (other !== undefined) {
      refuse('FAILED_PRECONDITION', `volume ${name} is published to ${other.nodeId}`);
    }
    body.publications.push({ nodeId: node.id, readOnly, shared });
    body.state = 'attached';
    return structuredClone(body);
  }

  async unpublishVolume(name: string, { node }: api.VolumeUnpublishBody): Promise<api.VolumeBody> {
    const { body, staged } = this.#named(name);
    if (staged.size > 0) refuse('BUSY', `the device of volume ${name} is in use`);
    body.publications = body.publications.filter(
      ({ nodeId }) => node !== undefined && nodeId !== node,
    );
    if (body.publications.length === 0) body.state = 'detached';
    return structuredClone(body);
  }

  async setVolumeLabels(name: string, { labels }: api.VolumeLabelsBody): Promise<api.VolumeBody> {
    const { body } = this.#named(name);
    const changed = Object.entries({ ...body.labels, ...labels });
    body.labels = Object.fromEntries(
      changed.filter((entry): entry is [string, string] => entry[1] !== null),
    );
    return structuredClone(body);
  }

  async snapshots(volume: string): Promise<api.SnapshotBody[]> {
    return structuredClone(this.#named(volume).snapshots);
  }

  async snapshotsLastSeen(name: string): Promise<api.SnapshotBody[]> {
    const all = [...this.stored.values()].flatMap(({ snapshots }) => snapshots);
    return structuredClone(all.filter((each) => each.name === name));
  }

  async snapshot(volume: string, snapshot: string): Promise<api.SnapshotBody> {
    return structuredClone(this.#snapshot(volume, snapshot));
  }

  async createSnapshot(
    volume: string,
    { name = 'snap' }: api.SnapshotCreateBody,
  ): Promise<api.SnapshotBody> {
    const { snapshots } = this.#named(volume);
    if (snapshots.some((each) => each.name === name)) {
      refuse('ALREADY_EXISTS', `volume ${volume} has a snapshot ${name}`);
    }
    const snapshot = this.#takeSnapshot(volume, name, null);
    return structuredClone(snapshot);
  }

  async deleteSnapshot(volume: string, snapshot: string): Promise<void> {
    const found = this.#snapshot(volume, snapshot);
    if (found.group !== null) refuse('FAILED_PRECONDITION', `it is in the group ${found.group}`);
    this.#forget(volume, found.id);
  }

  async diffPage(
    volume: string,
    from: string,
    to: string,
    offsetBytes: string,
  ): Promise<api.DiffBody> {
    this.#named(volume);
    const after = this.runs.filter((run) => BigInt(run.offsetBytes) >= BigInt(offsetBytes));
    const next = after[this.runsPerPage]?.offsetBytes ?? null;
    const runs = after.slice(0, this.runsPerPage);
    return { from: from === '' ? null : from, to, runs, nextOffsetBytes: next };
  }

  async snapshotGroup(group: string): Promise<api.SnapshotGroupBody> {
    return structuredClone(this.#group(group));
  }

  async createSnapshotGroup(request: api.SnapshotGroupCreateBody): Promise<api.SnapshotGroupBody> {
    const { name, volumes } = request;
    const there = [...this.groups.values()].find((group) => group.name === name);
    if (there !== undefined) {
      const same = there.members.map(({ volume }) => volume).sort();
      if (same.join() === [...volumes].sort().join()) return structuredClone(there);
      refuse('ALREADY_EXISTS', `group ${name} has other volumes`);
    }
    volumes.forEach((volume) => this.#named(volume));
    const id = newId();
    const members = volumes.map((volume) => {
      const snapshot = this.#takeSnapshot(volume, `group-${id.slice(0, 8)}`, id);
      return { volume, snapshot: snapshot.id, sizeBytes: snapshot.sizeBytes };
    });
    const group = { id, name, createdAt: new Date().toISOString(), members };
    this.groups.set(id, group);
    return structuredClone(group);
  }

  async deleteSnapshotGroup(group: string): Promise<void> {
    const { id, members } = this.#group(group);
    for (const { volume, snapshot } of members) this.#forget(volume, snapshot);
    this.groups.delete(id);
  }

  async stageVolume(name: string, request: api.VolumeStageBody): Promise<api.StagedBody> {
    const { body, staged } = this.#named(name);
    if (body.state !== 'attached') refuse('FAILED_PRECONDITION', `volume ${name} has no device`);
    const there = staged.get(request.path);
    if (there !== undefined && !isSameStaging(there, request)) {
      refuse('ALREADY_EXISTS', `volume ${name} is staged otherwise`);
    }
    if (there === undefined && staged.size > 0) {
      refuse('FAILED_PRECONDITION', `volume ${name} is staged elsewhere`);
    }
    staged.set(request.path, request);
    return { device: `/dev/aurochs/${name}` };
  }

  async unstageVolume(name: string, { path }: api.VolumeUnstageBody): Promise<void> {
    this.#named(name).staged.delete(path);
  }

  async bindVolume(name: string, request: api.VolumeBindBody): Promise<void> {
    const { staged, bound } = this.#named(name);
    const { targetPath, stagingPath } = request;
    if (!staged.has(stagingPath)) refuse('FAILED_PRECONDITION', `${stagingPath} is not staged`);
    const there = bound.get(targetPath);
    if (there !== undefined && there.readOnly !== request.readOnly) {
      refuse('ALREADY_EXISTS', `volume ${name} is bound otherwise`);
    }
    const others = [...bound.values()].filter((each) => each.targetPath !== targetPath);
    const exclusive = request.exclusive === true || others.some((each) => each.exclusive === true);
    if (exclusive && others.length > 0) refuse('FAILED_PRECONDITION', `${name} is bound elsewhere`);
    if (this.makesDirectories) mkdirSync(targetPath, { recursive: true });
    bound.set(targetPath, request);
  }

  async unbindVolume(name: string, { targetPath }: api.VolumeUnbindBody): Promise<void> {
    this.#named(name).bound.delete(targetPath);
    if (this.makesDirectories) rmSync(targetPath, { recursive: true, force: true });
  }

  async volumeUsage(name: string, path: string): Promise<api.UsageBody> {
    const { staged, bound } = this.#named(name);
    const kind = (staged.get(path) ?? bound.get(path))?.kind;
    if (kind === undefined) refuse('NOT_FOUND', `volume ${name} is not at ${path}`);
    const bytes = { total: '1000', used: '400', available: '600' };
    const inodes = kind === 'block' ? null : { total: '100', used: '4', available: '96' };
    return { kind, bytes, inodes, abnormal: null };
  }

  async growStaged(name: string, { path }: api.VolumeGrowBody): Promise<api.GrownBody> {
    const { body, staged, bound } = this.#named(name);
    if (!staged.has(path) && !bound.has(path)) refuse('NOT_FOUND', `${name} is not at ${path}`);
    return { sizeBytes: body.sizeBytes };
  }

  #named(name: string): ModelVolume {
    return this.stored.get(name) ?? refuse('NOT_FOUND', `there is no volume ${name}`);
  }

  #snapshot(volume: string, nameOrId: string): api.SnapshotBody {
    const found = this.#named(volume).snapshots.find(({ id, name }) =>
      [id, name].includes(nameOrId),
    );
    return found ?? refuse('NOT_FOUND', `volume ${volume} has no snapshot ${nameOrId}`);
  }

  #group(nameOrId: string): api.SnapshotGroupBody {
    const found = [...this.groups.values()].find(({ id, name }) => [id, name].includes(nameOrId));
    return found ?? refuse('NOT_FOUND', `there is no group ${nameOrId}`);
  }

  #originOf({ volume, snapshot }: { volume: string; snapshot?: string }) {
    this.#named(volume);
    if (snapshot === undefined) return { volume, snapshot: null };
    return { volume, snapshot: this.#snapshot(volume, snapshot).id };
  }

  #takeSnapshot(volume: string, name: string, group: string | null): api.SnapshotBody {
    const { body, snapshots } = this.#named(volume);
    const snapshot: api.SnapshotBody = {
      id: newId(),
      name,
      volume,
      parent: null,
      createdAt: new Date().toISOString(),
      sizeBytes: body.sizeBytes,
      allocatedBytes: '0',
      removing: false,
      mergeShare: null,
      headParent: true,
      group,
    };
    snapshots.push(snapshot);
    return snapshot;
  }

  #forget(volume: string, snapshot: string): void {
    const of = this.stored.get(volume);
    if (of !== undefined) of.snapshots = of.snapshots.filter(({ id }) => id !== snapshot);
  }

  #newVolume(name: string, sizeBytes: string, labels: Record<string, string>): api.VolumeBody {
    return {
      id: newId(),
      name,
      sizeBytes,
      allocatedBytes: null,
      createdAt: new Date().toISOString(),
      state: 'detached',
      robustness: 'healthy',
      desiredAttached: false,
      frontends: [],
      readOnly: false,
      removable: false,
      provisioning: 'thin',
      epoch: '0',
      chap: null,
      initiators: [],
      replicas: [
        {
          id: newId(),
          nodeId: this.node.id,
          diskId: this.disk.id,
          diskPath: this.disk.path,
          directory: name,
        },
      ],
      exports: [],
      device: null,
      problem: null,
      labels: { ...labels },
      source: null,
      copyShare: null,
      publications: [],
    };
  }
}

function isSameStaging(there: api.VolumeStageBody, wanted: api.VolumeStageBody): boolean {
  const { kind, fileSystem = 'ext4', readOnly = false } = wanted;
  return (
    there.kind === kind &&
    (there.readOnly ?? false) === readOnly &&
    (kind === 'block' || (there.fileSystem ?? 'ext4') === fileSystem) &&
    (there.encryption === undefined) === (wanted.encryption === undefined)
  );
}
