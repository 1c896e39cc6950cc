/** Starting, stopping and accounting of the servers under measurement. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts } from '../support/accepts.js';

const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 20;
const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** A server that answers, and how its clients reach its volumes. */
export interface Server {
  name: string;
  pid: number;
  stop(): Promise<void>;
}

/** User and system time of all threads of a process since its start, in µs. */
export function processorTimeUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6;
}

/** Starts a server in the foreground and returns when it accepts connections; `signal` ends it. */
export async function startServer(
  name: string,
  command: string,
  args: string[],
  address: { host: string; port: number } | { path: string },
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<Server> {
  const child: ChildProcess = spawn(command, args, { stdio: ['pipe', 'ignore', 'inherit'] });
  const exited = once(child, 'exit');
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (!(await accepts(address))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill();
      throw new Error(`${name} did not start: ${command} ${args.join(' ')}`);
    }
    await sleep(POLL_MS);
  }
  return {
    name,
    pid: child.pid ?? 0,
    async stop() {
      child.kill(signal);
      await exited;
    },
  };
}
