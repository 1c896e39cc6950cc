/** Resources as an agent would send them. */
import type { DiskBody, SnapshotBody, VolumeBody } from '../../../src/api/types.js';

export function volumeBody(changes: Partial<VolumeBody> = {}): VolumeBody {
  return {
    id: '6b1f4a1e-0000-4000-8000-000000000001',
    name: 'db',
    labels: {},
    sizeBytes: '10737418240',
    allocatedBytes: '1572864',
    createdAt: '2026-11-22T19:10:00.000Z',
    state: 'detached',
    robustness: 'healthy',
    desiredAttached: false,
    frontends: ['iscsi', 'nbd'],
    readOnly: false,
    removable: false,
    provisioning: 'thin',
    epoch: '3',
    chap: null,
    initiators: [],
    replicas: [
      { id: 'r1', nodeId: 'n1', diskId: 'd1', diskPath: '/srv/fast', directory: 'db-6b1f4a1e' },
    ],
    source: null,
    copyShare: null,
    publications: [],
    exports: [],
    device: null,
    problem: null,
    ...changes,
  };
}

export const ISCSI_EXPORT = {
  frontend: 'iscsi',
  uri: 'iscsi://127.0.0.1:3260/iqn.2026-11.io.aurochs:db/1',
  address: '127.0.0.1:3260',
  name: 'iqn.2026-11.io.aurochs:db',
} as const;

export const NBD_EXPORT = {
  frontend: 'nbd',
  uri: 'nbd://127.0.0.1:10809/db',
  address: '127.0.0.1:10809',
  name: 'db',
} as const;

export const NBD_UNIX_EXPORT = {
  frontend: 'nbd',
  uri: 'nbd+unix:///db?socket=/run/aurochs/nbd.sock',
  address: 'unix:/run/aurochs/nbd.sock',
  name: 'db',
} as const;

export function snapshotBody(changes: Partial<SnapshotBody> = {}): SnapshotBody {
  return {
    id: '6b1f4a1e-0000-4000-8000-00000000000a',
    name: 'mon',
    volume: 'db',
    parent: null,
    createdAt: '2026-11-22T19:10:00.000Z',
    sizeBytes: '10737418240',
    allocatedBytes: '4096',
    removing: false,
    mergeShare: null,
    headParent: true,
    group: null,
    ...changes,
  };
}

export function diskBody(changes: Partial<DiskBody> = {}): DiskBody {
  return {
    id: 'd1',
    nodeId: 'n1',
    path: '/srv/fast',
    tags: [],
    createdAt: '2026-11-22T19:10:00.000Z',
    fileSystem: 'ext4',
    totalBytes: '107374182400',
    freeBytes: '53687091200',
    fileBytesMax: '17592186040320',
    replicas: 1,
    leftovers: [],
    problem: null,
    ...changes,
  };
}

export const DEVICE = {
  path: '/dev/aurochs/db',
  kernelPath: '/dev/sda',
  frontend: 'iscsi',
  why: 'iscsi_tcp and iscsid can be used',
} as const;
