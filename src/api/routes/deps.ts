/** What the routes work with. */
import type { DiskService } from '../../volume/disk-service.js';
import type { GroupService } from '../../volume/group-service.js';
import type { MountService } from '../../volume/mount-service.js';
import type { NodeService } from '../../volume/node-service.js';
import type { PublicationService } from '../../volume/publication-service.js';
import type { SnapshotService } from '../../volume/snapshot-service.js';
import type { StagingService } from '../../volume/staging-service.js';
import type { VolumeService } from '../../volume/volume-service.js';
import type { EventStream } from '../event-stream.js';
import type { DoctorFinding, HealthBody } from '../types.js';

export interface RouteDeps {
  volumes: VolumeService;
  publications: PublicationService;
  mounts: MountService;
  staging: StagingService;
  snapshots: SnapshotService;
  groups: GroupService;
  nodes: NodeService;
  disks: DiskService;
  events: EventStream;
  version: string;
  health: () => Promise<HealthBody>;
  doctor: () => Promise<DoctorFinding[]>;
}
