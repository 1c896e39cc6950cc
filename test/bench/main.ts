/**
 * `npm run bench [-- --json FILE --seconds N --rounds N --only TEXT]`
 *
 * Every workload runs against each server in turn, round after round, so that a drift of the
 * machine meets all alike; the median of the rounds counts. All volumes hold written data in the
 * page cache, and all servers acknowledge writes from there.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { root } from '../support/repository.js';
import { type Load, fioNbd, iscsiRead, qemuWrite } from './clients.js';
import { type Server, processorTimeUs, startServer } from './processes.js';

const VOLUME_BYTES = 1024 ** 3;
const WARM_UP_SECONDS = 1;
const TGT_PORTAL = { host: '127.0.0.1', port: 13261 };
const OUR_PORTAL = { host: '127.0.0.1', port: 13260 };
const TGT_CONTROL_PORT = '77';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'string' },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
  },
});
const seconds = Number(flags.seconds);
const rounds = Number(flags.rounds);

const scratch = mkdtempSync(join(tmpdir(), 'aurochs-bench-'));
const ourSocket = join(scratch, 'nbd.sock');
const peerSocket = join(scratch, 'nbdkit.sock');

interface Subject {
  name: 'aurochs' | 'aurochs, null device' | 'tgt' | 'nbdkit, file';
  server: Server;
  uri: string;
}

/** What is asked of the ratio aurochs : peer. */
interface Workload {
  name: string;
  frontend: 'iscsi' | 'nbd';
  /** At least this many times the peer's rate; and at most this share of its processor time. */
  rateTarget?: number;
  timeTarget?: number;
  load(uri: string, seconds: number): Promise<Load>;
}

const iscsi = (blocks: number, depth: number) => (uri: string, forSeconds: number) =>
  iscsiRead(uri, { blocks, depth, seconds: forSeconds });
const iscsiWrite = (bytes: number, depth: number, perSecond: number) => (uri: string, s: number) =>
  qemuWrite(uri, { bytes, depth, count: perSecond * s });
const nbd = (write: boolean, bytes: number, depth: number, jobs: number) => {
  return (uri: string, s: number) => fioNbd(uri, { write, bytes, depth, jobs, seconds: s });
};

const WORKLOADS: Workload[] = [
  {
    name: 'iSCSI 4 KiB random read, depth 32',
    frontend: 'iscsi',
    rateTarget: 2.5,
    timeTarget: 0.35,
    load: iscsi(8, 32),
  },
  {
    name: 'iSCSI 4 KiB random read, depth 1',
    frontend: 'iscsi',
    rateTarget: 1.25,
    load: iscsi(8, 1),
  },
  {
    name: 'iSCSI 128 KiB random read, depth 32',
    frontend: 'iscsi',
    rateTarget: 1.5,
    load: iscsi(256, 32),
  },
  {
    name: 'iSCSI 4 KiB write, depth 32',
    frontend: 'iscsi',
    rateTarget: 1.8,
    load: iscsiWrite(4096, 32, 50_000),
  },
  {
    name: 'iSCSI 4 KiB write, depth 1',
    frontend: 'iscsi',
    load: iscsiWrite(4096, 1, 10_000),
  },
  {
    name: 'iSCSI 128 KiB write, depth 16',
    frontend: 'iscsi',
    load: iscsiWrite(131_072, 16, 5_000),
  },
  {
    name: 'NBD 4 KiB random read, depth 32',
    frontend: 'nbd',
    rateTarget: 1.1,
    timeTarget: 0.7,
    load: nbd(false, 4096, 32, 1),
  },
  {
    name: 'NBD 4 KiB random read, depth 32, two jobs',
    frontend: 'nbd',
    rateTarget: 1.3,
    timeTarget: 0.7,
    load: nbd(false, 4096, 32, 2),
  },
  {
    name: 'NBD 4 KiB random write, depth 32',
    frontend: 'nbd',
    rateTarget: 1.1,
    timeTarget: 0.7,
    load: nbd(true, 4096, 32, 1),
  },
  {
    name: 'NBD 4 KiB random write, depth 32, two jobs',
    frontend: 'nbd',
    rateTarget: 1.3,
    timeTarget: 0.7,
    load: nbd(true, 4096, 32, 2),
  },
];

interface Sample {
  perSecond: number;
  timeUs: number;
  p50Us?: number;
  p99Us?: number;
}

async function measure(workload: Workload, subject: Subject): Promise<Sample> {
  await workload.load(subject.uri, WARM_UP_SECONDS);
  const before = processorTimeUs(subject.server.pid);
  const load = await workload.load(subject.uri, seconds);
  const used = processorTimeUs(subject.server.pid) - before;
  const sample: Sample = {
    perSecond: load.requests / load.seconds,
    timeUs: used / load.requests,
  };
  if (load.p50Us !== undefined) sample.p50Us = load.p50Us;
  if (load.p99Us !== undefined) sample.p99Us = load.p99Us;
  return sample;
}

function median(numbers: number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

function tgtadm(...args: string[]): void {
  execFileSync('tgtadm', ['-C', TGT_CONTROL_PORT, '--lld', 'iscsi', ...args]);
}

async function startTgt(file: string): Promise<Server> {
  const portal = `portal=${TGT_PORTAL.host}:${TGT_PORTAL.port}`;
  mkdirSync('/run/tgtd', { recursive: true });
  const args = ['-f', '-C', TGT_CONTROL_PORT, '--iscsi', portal];
  // It does not end at SIGTERM while it has targets.
  const server = await startServer('tgt', 'tgtd', args, TGT_PORTAL, 'SIGKILL');
  tgtadm('--mode', 'target', '--op', 'new', '--tid', '1', '-T', 'iqn.2026-11.peer:v');
  const unit = ['--mode', 'logicalunit', '--op', 'new', '--tid', '1', '--lun', '1'];
  tgtadm(...unit, '-b', file);
  tgtadm('--mode', 'target', '--op', 'bind', '--tid', '1', '-I', 'ALL');
  return server;
}

/** Writes the whole volume, so that reads find data in the page cache. */
function fill(target: string): void {
  execFileSync('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', source, target]);
}

const source = join(scratch, 'source.img');

async function subjects(): Promise<Record<Workload['frontend'], Subject[]>> {
  const tgtFile = join(scratch, 'tgt.img');
  const nbdkitFile = join(scratch, 'nbdkit.img');
  execFileSync('dd', ['if=/dev/urandom', `of=${source}`, 'bs=1M', 'count=1024', 'status=none']);
  for (const file of [tgtFile, nbdkitFile]) execFileSync('cp', [source, file]);
  const disk = join(scratch, 'disk');
  mkdirSync(disk);
  const portal = `${OUR_PORTAL.host}:${OUR_PORTAL.port}`;
  const program = join(root, 'dist/test/bench/server.js');
  const ours = await startServer(
    'aurochs',
    process.execPath,
    [program, disk, portal, ourSocket, `${VOLUME_BYTES}`],
    OUR_PORTAL,
  );
  const nbdkit = await startServer(
    'nbdkit',
    'nbdkit',
    ['-f', '-U', peerSocket, 'file', nbdkitFile],
    { path: peerSocket },
  );
  const tgt = await startTgt(tgtFile);
  const ourIscsi = (name: string) => `iscsi://${portal}/iqn.2026-11.io.aurochs:${name}/1`;
  const ourNbd = (name: string) => `nbd+unix:///${name}?socket=${ourSocket}`;
  fill(ourNbd('file'));
  const tgtUri = `iscsi://${TGT_PORTAL.host}:${TGT_PORTAL.port}/iqn.2026-11.peer:v/1`;
  return {
    iscsi: [
      { name: 'aurochs', server: ours, uri: ourIscsi('file') },
      { name: 'aurochs, null device', server: ours, uri: ourIscsi('null') },
      { name: 'tgt', server: tgt, uri: tgtUri },
    ],
    nbd: [
      { name: 'aurochs', server: ours, uri: ourNbd('file') },
      { name: 'aurochs, null device', server: ours, uri: ourNbd('null') },
      { name: 'nbdkit, file', server: nbdkit, uri: `nbd+unix:///?socket=${peerSocket}` },
    ],
  };
}

interface Row {
  workload: string;
  subject: string;
  perSecond: number;
  processorTimeUs: number;
  p50Us: number | null;
  p99Us: number | null;
  rateRatio: number | null;
  timeRatio: number | null;
  rateTarget: number | null;
  timeTarget: number | null;
}

async function rowsOf(workload: Workload, all: Subject[]): Promise<Row[]> {
  const samples = new Map<Subject, Sample[]>(all.map((subject) => [subject, []]));
  for (let round = 0; round < rounds; ++round) {
    for (const subject of all) {
      samples.get(subject)?.push(await measure(workload, subject));
      process.stderr.write('.');
    }
  }
  const middle = (subject: Subject, key: keyof Sample) =>
    median((samples.get(subject) ?? []).map((sample) => sample[key] ?? NaN));
  const peer = all.at(-1);
  return all.map((subject) => {
    const isPeer = subject === peer;
    const ratio = (key: keyof Sample) =>
      isPeer || peer === undefined ? null : middle(subject, key) / middle(peer, key);
    const isOurs = subject.name === 'aurochs';
    const optional = (number: number) => (Number.isNaN(number) ? null : number);
    return {
      workload: workload.name,
      subject: subject.name,
      perSecond: middle(subject, 'perSecond'),
      processorTimeUs: middle(subject, 'timeUs'),
      p50Us: optional(middle(subject, 'p50Us')),
      p99Us: optional(middle(subject, 'p99Us')),
      rateRatio: ratio('perSecond'),
      timeRatio: ratio('timeUs'),
      rateTarget: (isOurs ? workload.rateTarget : undefined) ?? null,
      timeTarget: (isOurs ? workload.timeTarget : undefined) ?? null,
    };
  });
}

function printTable(rows: Row[]): void {
  const table = new Table({
    head: ['workload', 'server', 'requests/s', '× peer', 'goal', 'µs/request', '× peer', 'goal'],
    style: { head: [], border: [] },
  });
  const number = (value: number | null, digits: number) => value?.toFixed(digits) ?? '';
  for (const row of rows) {
    table.push([
      row.subject === 'aurochs' ? row.workload : '',
      row.subject,
      Math.round(row.perSecond).toLocaleString('en'),
      number(row.rateRatio, 2),
      row.rateTarget === null ? '' : `≥ ${row.rateTarget}`,
      number(row.processorTimeUs, 1),
      number(row.timeRatio, 2),
      row.timeTarget === null ? '' : `≤ ${row.timeTarget}`,
    ]);
  }
  console.log(table.toString());
}

const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Linux ${release()}`;
const started: Server[] = [];
try {
  const all = await subjects();
  started.push(...new Set([...all.iscsi, ...all.nbd].map((subject) => subject.server)));
  const rows: Row[] = [];
  for (const workload of WORKLOADS.filter(({ name }) => name.includes(flags.only))) {
    rows.push(...(await rowsOf(workload, all[workload.frontend])));
  }
  const date = new Date().toISOString().slice(0, 10);
  process.stderr.write('\n');
  console.log(`${date}, ${machine}, median of ${rounds} rounds of ${seconds} s`);
  printTable(rows);
  if (flags.json !== undefined) {
    writeFileSync(
      flags.json,
      `${JSON.stringify({ date, machine, rounds, seconds, rows }, null, 2)}\n`,
    );
  }
} finally {
  for (const server of started) await server.stop();
  rmSync(scratch, { recursive: true, force: true });
}
