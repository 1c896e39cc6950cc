/** What is measured, and what is asked of the ratio aurochs : peer. */
import { type Load, fioNbd, iscsiLoad, iscsiRead, qemuWrite } from './clients.js';

/** Which servers a workload runs against. */
export type Field = 'iscsi' | 'nbd' | 'volumes' | 'chain' | 'hostile';

export interface Workload {
  name: string;
  field: Field;
  /** At least so many times the peer's rate: what was asked first, and what was asked then. */
  rateGoals?: number[];
  /** At most this share of the peer's processor time for a request. */
  shareGoals?: number[];
  /** At most so much processor time for a request, in µs. */
  timeGoalUs?: number;
  /** At most so many times the peer's median latency, for our 99th percentile. */
  latencyGoal?: number;
  load(uri: string, seconds: number): Promise<Load>;
}

const iscsi = (blocks: number, depth: number) => (uri: string, seconds: number) =>
  iscsiRead(uri, { blocks, depth, seconds });
const iscsiWrite = (bytes: number, depth: number, perSecond: number) => (uri: string, s: number) =>
  qemuWrite(uri, { bytes, depth, count: perSecond * s });
const latency = (command: 'read' | 'write' | 'verify', bytes: number, depth: number) => {
  return (uri: string, seconds: number) => iscsiLoad(uri, { command, bytes, depth, seconds });
};
const nbd = (write: boolean, depth: number, jobs: number) => (uri: string, seconds: number) =>
  fioNbd(uri, { write, bytes: 4096, depth, jobs, seconds });

export const WORKLOADS: Workload[] = [
  {
    name: 'iSCSI 4 KiB random read, depth 32',
    field: 'iscsi',
    rateGoals: [2.5, 4],
    shareGoals: [0.35, 0.2],
    timeGoalUs: 8,
    load: iscsi(8, 32),
  },
  {
    name: 'iSCSI 4 KiB random read, depth 1',
    field: 'iscsi',
    rateGoals: [1.25],
    load: iscsi(8, 1),
  },
  {
    name: 'iSCSI 128 KiB random read, depth 32',
    field: 'iscsi',
    rateGoals: [1.5, 2],
    load: iscsi(256, 32),
  },
  {
    name: 'iSCSI 4 KiB write, depth 32',
    field: 'iscsi',
    rateGoals: [1.8, 2.2],
    shareGoals: [0.33],
    timeGoalUs: 9,
    load: iscsiWrite(4096, 32, 40_000),
  },
  { name: 'iSCSI 4 KiB write, depth 1', field: 'iscsi', load: iscsiWrite(4096, 1, 8_000) },
  { name: 'iSCSI 128 KiB write, depth 16', field: 'iscsi', load: iscsiWrite(131_072, 16, 5_000) },
  {
    name: 'iSCSI 4 KiB random read, depth 32, latency',
    field: 'iscsi',
    latencyGoal: 1,
    load: latency('read', 4096, 32),
  },
  {
    name: 'iSCSI 4 KiB random write, depth 32, latency',
    field: 'iscsi',
    latencyGoal: 1,
    load: latency('write', 4096, 32),
  },
  {
    name: 'NBD 4 KiB random read, depth 32',
    field: 'nbd',
    rateGoals: [1.1],
    shareGoals: [0.7],
    load: nbd(false, 32, 1),
  },
  {
    name: 'NBD 4 KiB random read, depth 32, two jobs',
    field: 'nbd',
    rateGoals: [1.3, 1.6],
    shareGoals: [0.7, 0.5],
    load: nbd(false, 32, 2),
  },
  {
    name: 'NBD 4 KiB random write, depth 32',
    field: 'nbd',
    rateGoals: [1.1],
    shareGoals: [0.7],
    load: nbd(true, 32, 1),
  },
  {
    name: 'NBD 4 KiB random write, depth 32, two jobs',
    field: 'nbd',
    rateGoals: [1.3, 1.6],
    shareGoals: [0.7, 0.5],
    load: nbd(true, 32, 2),
  },
  {
    name: 'iSCSI 4 KiB random read, depth 32, each volume',
    field: 'volumes',
    rateGoals: [1.6],
    load: iscsi(8, 32),
  },
  // The server reads and answers without data, so that the clients leave it the processor.
  {
    name: 'iSCSI 1 MiB random verify, depth 4, each volume',
    field: 'volumes',
    rateGoals: [1.6],
    load: latency('verify', 1024 ** 2, 4),
  },
  {
    name: 'NBD 4 KiB random read, depth 32, through a chain',
    field: 'chain',
    rateGoals: [0.5],
    load: nbd(false, 32, 1),
  },
  {
    name: 'iSCSI 4 KiB random read, depth 32, not alone',
    field: 'hostile',
    rateGoals: [0.8],
    load: iscsi(8, 32),
  },
];
