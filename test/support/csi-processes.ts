/** The driver and an agent with a fake machine as processes, to be killed and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import type { AgentOptions } from '../../src/daemon/config.js';
import { CLI } from './agent-process.js';
import type { Scratch } from './scratch.js';

const FAKE_MACHINE_AGENT = fileURLToPath(new URL('csi-agent.js', import.meta.url));

class RestartableProcess {
  #child: ChildProcess | null = null;
  log = '';

  constructor(
    private readonly args: readonly string[],
    private readonly isReady: RegExp,
  ) {}

  /** Resolves when it has said that it is ready. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, this.args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    let said = '';
    await new Promise<void>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (bytes: Buffer) => {
          this.log += String(bytes);
          said += String(bytes);
          if (this.isReady.test(said)) resolve();
        });
      }
      child.once('exit', (code) => reject(new Error(`it ended with ${code}\n${said}`)));
    });
  }

  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }
}

export class FakeMachineAgent extends RestartableProcess {
  readonly apiSocket: string;
  readonly dataDirectory: string;

  constructor(scratch: Pick<Scratch, 'file'>, more: AgentOptions = {}) {
    const apiSocket = scratch.file('api.sock');
    const dataDirectory = scratch.file('data');
    const options: AgentOptions = {
      dataDir: dataDirectory,
      runDir: scratch.file('run'),
      iscsiPortal: '127.0.0.1:0',
      nbdListen: `unix:${scratch.file('nbd.sock')}`,
      apiSocket,
      ...more,
    };
    super([FAKE_MACHINE_AGENT, JSON.stringify(options)], /^ready$/m);
    this.apiSocket = apiSocket;
    this.dataDirectory = dataDirectory;
  }
}

export class CsiDriver extends RestartableProcess {
  constructor(socketPath: string, apiSocket: string, more: readonly string[] = []) {
    const flags = ['--endpoint', `unix://${socketPath}`, '--api-socket', apiSocket, ...more];
    super([CLI, 'csi', ...flags], /csi driver is ready/);
  }
}
