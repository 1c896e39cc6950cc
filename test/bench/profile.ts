/** Samples of where a process spends its time, taken by perf. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { type Stacks, foldStacks } from './flame-graph.js';

const SAMPLES_PER_SECOND = 997;
const SCRIPT_BYTES_MAX = 512 * 1024 ** 2;

/** Samples process `pid` for as long as `load` runs. */
export async function recordStacks(
  pid: number,
  file: string,
  load: () => Promise<unknown>,
): Promise<Stacks> {
  const record = ['record', '-g', '-F', `${SAMPLES_PER_SECOND}`, '-p', `${pid}`, '-o', file];
  const perf = spawn('perf', record, { stdio: 'ignore' });
  const ended = once(perf, 'exit'); // Rejects if there is no perf: Debian's package linux-perf.
  await Promise.race([load(), ended]);
  perf.kill('SIGINT');
  await ended;
  const script = ['script', '-i', file, '-F', 'comm,ip,sym,dso'];
  const { stdout } = await promisify(execFile)('perf', script, { maxBuffer: SCRIPT_BYTES_MAX });
  return foldStacks(stdout);
}
