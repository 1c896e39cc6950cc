/** A load that checks itself: fio writes with checksums, and reads all of it back at the end. */
import { readFileSync } from 'node:fs';

import { RunningProgram } from '../../support/programs.js';

const FIO_TIMEOUT_MS = 1_200_000;

export interface FioOptions {
  file: string;
  sizeBytes: number;
  /** Rest after every few writes: what makes the load last. */
  restUs: number;
}

export class FioLoad {
  readonly #fio: RunningProgram;
  readonly #log: string;

  constructor({ file, sizeBytes, restUs }: FioOptions) {
    this.#log = '/tmp/fio';
    const args = [
      '--name=load',
      `--filename=${file}`,
      `--size=${sizeBytes}`,
      '--rw=randwrite',
      '--bs=4k',
      '--ioengine=libaio',
      '--direct=1',
      '--iodepth=4',
      '--fsync=64',
      `--thinktime=${restUs}`,
      '--thinktime_blocks=4',
      '--verify=crc32c',
      '--verify_fatal=1',
      `--write_lat_log=${this.#log}`,
      '--log_unix_epoch=1',
      '--output-format=terse',
    ];
    this.#fio = new RunningProgram('fio', args, FIO_TIMEOUT_MS);
  }

  get ended(): boolean {
    return this.#fio.child.exitCode !== null;
  }

  /** Every write succeeded and was read back as it was written, else it throws. */
  verified(): Promise<string> {
    return this.#fio.succeeded();
  }

  /** When the writes were completed, in milliseconds since 1970. */
  completions(): number[] {
    const lines = readFileSync(`${this.#log}_clat.1.log`, 'utf8').trimEnd().split('\n');
    const writes = lines.map((line) => line.split(',').map(Number)).filter((each) => each[2] === 1);
    return writes.map(([time = 0]) => time).sort((a, b) => a - b);
  }
}

/** The longest time without a completed write that overlaps the time from `begin` to `end`. */
export function longestGapMs(completions: readonly number[], begin: number, end: number): number {
  let longest = 0;
  for (const [index, time] of completions.entries()) {
    const next = completions[index + 1];
    if (next === undefined || next < begin || time > end) continue;
    longest = Math.max(longest, next - time);
  }
  return longest;
}
