/** A real agent in a process of its own, with free ports and a data directory below a scratch one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { ApiClient } from '../../src/api/client.js';
import type { ExportBody, Frontend, VolumeBody } from '../../src/api/types.js';
import { attempt, type ProgramResult } from './programs.js';
import type { Scratch } from './scratch.js';

export const CLI = fileURLToPath(new URL('../../src/cli/index.js', import.meta.url));
const READY_TIMEOUT_MS = 30_000;
const POLL_MS = 5;
const LOG_LINES_SHOWN = 20;

export interface AgentProcessOptions {
  /** Name below the scratch directory; two agents with the same one share a data directory. */
  name?: string;
  args?: readonly string[];
  /** For Node itself: "--inspect=127.0.0.1:0". */
  nodeArgs?: readonly string[];
  /** Starts Node: "ip", "netns", "exec", "a". */
  launcher?: readonly string[];
  /** Where it serves iSCSI, in place of a free port of the loopback address. */
  iscsiPortal?: string;
  /** For a machine that is slower than most. */
  readyTimeoutMs?: number;
  pollMs?: number;
  env?: Readonly<Record<string, string>>;
}

export class AgentProcess {
  readonly dataDirectory: string;
  readonly apiSocket: string;
  readonly nbdSocket: string;
  #child: ChildProcess | null = null;
  #api: ApiClient | null = null;
  #log = '';

  constructor(
    scratch: Pick<Scratch, 'file'>,
    private readonly options: AgentProcessOptions = {},
  ) {
    const name = options.name ?? 'agent';
    this.dataDirectory = scratch.file(`${name}.data`);
    this.apiSocket = scratch.file(`${name}.api`);
    this.nbdSocket = scratch.file(`${name}.nbd`);
  }

  /** Flags that give this agent places of its own. */
  get flags(): string[] {
    return [
      '--data-dir',
      this.dataDirectory,
      '--run-dir',
      `${this.dataDirectory}.run`,
      '--iscsi-portal',
      this.options.iscsiPortal ?? '127.0.0.1:0',
      '--nbd-listen',
      `unix:${this.nbdSocket}`,
      '--api-socket',
      this.apiSocket,
      ...(this.options.args ?? []),
    ];
  }

  get api(): ApiClient {
    if (this.#api === null) throw new Error('the agent was not started');
    return this.#api;
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('the agent does not run');
    return this.#child.pid;
  }

  /** What it has logged since it was created, over all starts. */
  get log(): string {
    return this.#log;
  }

  /** Starts the process and does not wait until it serves. */
  launch(): void {
    const { launcher = [], nodeArgs = [] } = this.options;
    const program = [...launcher, process.execPath, ...nodeArgs, CLI, 'agent', ...this.flags];
    const env = { ...process.env, ...this.options.env };
    const child = spawn(program[0] ?? '', program.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes: Buffer) => (this.#log += bytes.toString()));
    }
    this.#child = child;
    this.#api = new ApiClient({ socketPath: this.apiSocket });
  }

  /** Starts the process and resolves when it is ready. */
  async start(): Promise<this> {
    this.launch();
    await this.ready();
    return this;
  }

  async ready(): Promise<void> {
    await this.until('ready', async () => (await this.api.health()).state === 'ready');
  }

  /** Waits for a condition; a request that fails meanwhile counts as "not yet". */
  async until(what: string, condition: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + (this.options.readyTimeoutMs ?? READY_TIMEOUT_MS);
    let last: unknown = null;
    while (Date.now() < deadline) {
      if (this.#child?.exitCode !== null) break;
      try {
        if (await condition()) return;
      } catch (error) {
        last = error;
      }
      await new Promise((resolve) => setTimeout(resolve, this.options.pollMs ?? POLL_MS));
    }
    const lines = this.#log.trimEnd().split('\n').slice(-LOG_LINES_SHOWN).join('\n');
    throw new Error(`the agent is not ${what}: ${String(last)}\n${lines}`);
  }

  /** Ends it as a machine's administrator would. Returns its exit code. */
  stop(): Promise<number | null> {
    return this.#end('SIGTERM');
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Runs the command line against this agent. */
  cli(...args: string[]): Promise<ProgramResult> {
    return attempt(process.execPath, CLI, ...args, '--api-socket', this.apiSocket);
  }

  /** Creates a volume and attaches it. */
  async volume(name: string, size: string): Promise<VolumeBody> {
    await this.api.createVolume({ name, size });
    return this.api.attachVolume(name, {});
  }

  /** Resident memory in bytes. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  /** Processor time used so far, in clock ticks of a hundredth of a second. */
  processorTicks(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]); // utime and stime, proc(5).
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    this.#child = null;
    await this.#api?.close();
    if (child === null) return null;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
    return child.exitCode;
  }
}

export function uriOf(volume: VolumeBody, frontend: Frontend): string {
  return exportOf(volume, frontend).uri;
}

export function exportOf(volume: VolumeBody, frontend: Frontend): ExportBody {
  const found = volume.exports.find((candidate) => candidate.frontend === frontend);
  if (found === undefined) throw new Error(`${volume.name} is not offered over ${frontend}`);
  return found;
}
