/** Runs the clients that people already have. */
import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';

import { commandEnvironment } from '../../src/node/command.js';

/** No client of a test takes longer when it works. */
const PROGRAM_TIMEOUT_MS = 120_000;

export interface ProgramResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

export class RunningProgram {
  readonly child: ChildProcess;
  readonly result: Promise<ProgramResult>;
  readonly #command: string;
  #stdout = '';
  #stderr = '';

  constructor(program: string, args: readonly string[], timeoutMs = PROGRAM_TIMEOUT_MS) {
    this.#command = [program, ...args].join(' ');
    const stdio: StdioOptions = ['ignore', 'pipe', 'pipe'];
    this.child = spawn(program, args, { stdio, env: commandEnvironment() });
    this.child.stdout?.on('data', (bytes: Buffer) => (this.#stdout += bytes.toString()));
    this.child.stderr?.on('data', (bytes: Buffer) => (this.#stderr += bytes.toString()));
    const timer = setTimeout(() => this.child.kill('SIGKILL'), timeoutMs);
    this.result = once(this.child, 'close').then(([code]) => {
      clearTimeout(timer);
      return { code: code as number | null, stdout: this.#stdout, stderr: this.#stderr };
    });
  }

  /** What it has printed until now. */
  get stdout(): string {
    return this.#stdout;
  }

  /** Its output, when it has ended well. */
  async succeeded(): Promise<string> {
    const { code, stdout, stderr } = await this.result;
    if (code !== 0) throw new Error(`${this.#command} ended with ${code}\n${stdout}${stderr}`);
    return stdout;
  }
}

/** Output of a program that must end well. */
export function run(program: string, ...args: string[]): Promise<string> {
  return new RunningProgram(program, args).succeeded();
}

/** Result of a program that may fail. */
export function attempt(program: string, ...args: string[]): Promise<ProgramResult> {
  return new RunningProgram(program, args).result;
}
