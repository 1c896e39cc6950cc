/** The clients that make the load, each run once and read for what it did. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../support/repository.js';

const run = promisify(execFile);

export interface Load {
  requests: number;
  seconds: number;
  /** Completion latency in µs where the client tells. */
  p50Us?: number;
  p99Us?: number;
}

/** iscsi-perf reads at random offsets. */
export async function iscsiRead(
  uri: string,
  options: { blocks: number; depth: number; seconds: number },
): Promise<Load> {
  const { blocks, depth, seconds } = options;
  const flags = ['-t', `${seconds}`, '-b', `${blocks}`, '-m', `${depth}`, '-r', uri];
  const { stdout } = await run('iscsi-perf', flags, { maxBuffer: 1 << 26 });
  const iops = [...stdout.matchAll(/iops average (\d+)/g)].at(-1)?.[1];
  if (iops === undefined) throw new Error(`iscsi-perf says no rate: ${stdout.slice(-300)}`);
  return { requests: Number(iops) * seconds, seconds };
}

/** Our own client, because the others do not tell latencies; at random offsets. */
export async function iscsiLoad(
  uri: string,
  options: { command: 'read' | 'write' | 'verify'; bytes: number; depth: number; seconds: number },
): Promise<Load> {
  const { command, bytes, depth, seconds } = options;
  const args = [command, `${bytes}`, `${depth}`, `${seconds}`, uri];
  const { stdout } = await run(join(root, 'build/bench/iscsi-load'), args);
  return JSON.parse(stdout) as Load;
}

/** qemu-img bench writes one block after the other. */
export async function qemuWrite(
  uri: string,
  options: { bytes: number; depth: number; count: number },
): Promise<Load> {
  const { bytes, depth, count } = options;
  const flags = ['bench', '-f', 'raw', '-w', '-d', `${depth}`, '-s', `${bytes}`, '-c', `${count}`];
  const { stdout } = await run('qemu-img', [...flags, uri]);
  const seconds = /completed in ([\d.]+) seconds/.exec(stdout)?.[1];
  if (seconds === undefined) throw new Error(`qemu-img says no time: ${stdout}`);
  return { requests: count, seconds: Number(seconds) };
}

interface FioSide {
  total_ios: number;
  clat_ns: { percentile?: Record<string, number> };
}

/** fio's NBD engine at random offsets. */
export async function fioNbd(
  uri: string,
  options: { write: boolean; bytes: number; depth: number; jobs: number; seconds: number },
): Promise<Load> {
  const { write, bytes, depth, jobs, seconds } = options;
  const { stdout } = await run('fio', [
    '--name=load',
    '--ioengine=nbd',
    `--uri=${uri}`,
    `--rw=${write ? 'randwrite' : 'randread'}`,
    `--bs=${bytes}`,
    `--iodepth=${depth}`,
    `--numjobs=${jobs}`,
    '--group_reporting',
    '--time_based',
    `--runtime=${seconds}`,
    '--output-format=json',
  ]);
  const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
    jobs: { job_runtime: number; read: FioSide; write: FioSide }[];
  };
  const job = report.jobs[0];
  if (job === undefined) throw new Error(`fio reports no job: ${stdout}`);
  const side = write ? job.write : job.read;
  const percentile = side.clat_ns.percentile ?? {};
  return {
    requests: side.total_ios,
    seconds,
    p50Us: (percentile['50.000000'] ?? 0) / 1000,
    p99Us: (percentile['99.000000'] ?? 0) / 1000,
  };
}
