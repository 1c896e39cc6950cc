/** The control plane of one agent over a fake engine: store, services, reconcilers, as the daemon composes them. */
import { silentLogger } from '../../src/core/logger.js';
import { systemClock } from '../../src/core/clock.js';
import { DiskReconciler } from '../../src/reconcile/disk-reconciler.js';
import { VolumeController } from '../../src/reconcile/volume-controller.js';
import { VolumeReconciler } from '../../src/reconcile/volume-reconciler.js';
import { EmbeddedStore } from '../../src/store/embedded-store.js';
import { DiskService } from '../../src/volume/disk-service.js';
import { DomainEvents } from '../../src/volume/events.js';
import { GroupService } from '../../src/volume/group-service.js';
import type { ListenAddresses } from '../../src/volume/exports.js';
import { MountService } from '../../src/volume/mount-service.js';
import { NodeService } from '../../src/volume/node-service.js';
import { NodeUse } from '../../src/volume/node-use.js';
import { OpenVolumes } from '../../src/volume/open-volumes.js';
import type { Store } from '../../src/volume/ports.js';
import { PublicationService } from '../../src/volume/publication-service.js';
import { SnapshotService } from '../../src/volume/snapshot-service.js';
import { VolumeCopies } from '../../src/volume/volume-copies.js';
import { StagingService } from '../../src/volume/staging-service.js';
import { VolumeService } from '../../src/volume/volume-service.js';
import { FakeDisks, FakeEngine } from './fake-engine.js';
import { FakeKernel, FakeNode, FakeStaging } from './fake-node.js';

export const LOCAL: ListenAddresses = {
  iscsi: ['127.0.0.1:3260'],
  nbd: ['127.0.0.1:10809', 'unix:/run/aurochs/nbd.sock'],
  nbdClientsVerified: false,
  listening: true,
};

export interface ControlPlaneOptions {
  disks?: FakeDisks;
  kernel?: FakeKernel;
  storePath?: string;
  listen?: ListenAddresses;
  deadlineMs?: number;
  copyWaitMs?: number;
  /** Wraps the store, to make it fail. */
  wrapStore?: (store: Store) => Store;
}

export class ControlPlane {
  readonly disks: FakeDisks;
  readonly engine: FakeEngine;
  readonly node: FakeNode;
  readonly store: Store;
  readonly open: OpenVolumes;
  readonly events: DomainEvents;
  readonly diskService: DiskService;
  readonly copies: VolumeCopies;
  readonly nodes: NodeService;
  readonly volumes: VolumeService;
  readonly publications: PublicationService;
  readonly groups: GroupService;
  readonly snapshots: SnapshotService;
  readonly mounts: MountService;
  readonly staging: StagingService;
  readonly reconciler: VolumeReconciler;
  readonly controller: VolumeController;
  readonly diskReconciler: DiskReconciler;

  constructor(options: ControlPlaneOptions = {}) {
    this.disks = options.disks ?? new FakeDisks();
    const engine = (this.engine = new FakeEngine(this.disks));
    const devices = (this.node = new FakeNode(options.kernel ?? new FakeKernel()));
    const embedded = EmbeddedStore.open(options.storePath ?? ':memory:');
    const store = (this.store = options.wrapStore?.(embedded) ?? embedded);
    const log = silentLogger;
    const clock = systemClock;
    const directories = this.disks;
    const listen = options.listen ?? LOCAL;
    const events = (this.events = new DomainEvents(log));
    const open = (this.open = new OpenVolumes({ store, engine, directories, events, clock, log }));
    const base = { store, engine, directories, nodeId: 'node-1', clock, log };
    const use = new NodeUse({ store, open });
    const disks = (this.diskService = new DiskService(base));
    const copies = (this.copies = new VolumeCopies({ ...base, open, devices, events }));
    const nodes = (this.nodes = new NodeService(store));
    const { deadlineMs, copyWaitMs } = options;
    const waits = {
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
      ...(copyWaitMs === undefined ? {} : { copyWaitMs }),
    };
    const volumes = (this.volumes = new VolumeService({
      ...base,
      open,
      use,
      copies,
      devices,
      disks,
      listen,
      ...waits,
    }));
    this.publications = new PublicationService({ store, volumes, nodes, log });
    const shared = { store, open, devices, events, clock, log };
    const snapshots = (this.snapshots = new SnapshotService(shared));
    this.groups = new GroupService({ ...shared, snapshots });
    this.mounts = new MountService({ volumes, use, fileSystems: devices, log });
    const staging = new FakeStaging(devices);
    const dataDir = '/var/lib/aurochs';
    this.staging = new StagingService({ volumes, use, devices, staging, disks, dataDir, log });
    this.reconciler = new VolumeReconciler({ ...base, open, copies, devices, listen });
    this.controller = new VolumeController({ ...base, open, reconciler: this.reconciler });
    this.diskReconciler = new DiskReconciler(base);
  }

  /** A started one, with a disk at /disk0. */
  static async started(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
    const plane = new ControlPlane(options);
    await plane.diskService.add('/disk0');
    await plane.addNode();
    await plane.controller.start();
    return plane;
  }

  /** The node that it says it is, as its agent would at a start. */
  async addNode(): Promise<void> {
    const tags = ['fast-cpu'];
    const self = { id: 'node-1', name: 'alpha', zone: 'z1', tags, createdUnixMs: 1 };
    if ((await this.store.get('node', 'self')) === null)
      await this.store.create('node', 'self', self);
  }

  async stop(): Promise<void> {
    await this.controller.stop();
    await this.copies.stop();
    this.open.stop();
    await this.store.close();
  }
}
