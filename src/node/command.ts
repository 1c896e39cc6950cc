/**
 * Runs programs of the machine (iscsiadm, findmnt, …). Running is here, understanding what they print
 * is beside the one who asked: a parser is a pure function and is tested without the program.
 */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

/** A program that does not end by then is killed; those that may take longer say so when they are run. */
export const COMMAND_TIMEOUT_MS = 30_000;

/** What a program may print before it is killed: device lists of a large machine are under 1 MiB. */
export const COMMAND_OUTPUT_BYTES_MAX = 4 * 1024 * 1024;

export interface CommandResult {
  stdout: string;
  stderr: string;
}

/** A program could not be started, ended with another code than 0, or was killed. */
export class CommandError extends Error {
  override readonly name = 'CommandError';

  constructor(
    readonly program: string,
    readonly args: readonly string[],
    /** Null when it did not start or was killed by a signal. */
    readonly exitCode: number | null,
    readonly stderr: string,
    /** Without the arguments, which may not be for everybody. */
    readonly reason: string,
    options?: ErrorOptions,
    readonly stdout = '',
  ) {
    super(`${[program, ...args].join(' ')}: ${reason}`, options);
  }

  /** The last line of what it complained about; some programs complain on stdout. */
  get said(): string {
    const text = this.stderr.trim() === '' ? this.stdout : this.stderr;
    return text.trim().split('\n').at(-1)?.trim() ?? '';
  }

  /** The program is not installed (or not in the PATH). */
  get missing(): boolean {
    return (this.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
  }
}

export interface CommandOptions {
  /** In the place of COMMAND_TIMEOUT_MS. */
  timeoutMs?: number;
  /** What it reads from its standard input. */
  input?: string;
  /** Besides commandEnvironment. */
  env?: Readonly<Record<string, string>>;
}

export interface CommandRunner {
  /** Resolves when the program has ended with 0; rejects with a CommandError otherwise. */
  run(program: string, args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
}

/** Runs programs without a shell, in the C locale so that what they print can be parsed. */
export class SystemCommandRunner implements CommandRunner {
  run(
    program: string,
    args: readonly string[],
    { timeoutMs = COMMAND_TIMEOUT_MS, input = '', env = {} }: CommandOptions = {},
  ): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      const child = execFile(
        program,
        [...args],
        {
          encoding: 'utf8',
          env: { ...commandEnvironment(), ...env },
          timeout: timeoutMs,
          killSignal: 'SIGKILL',
          maxBuffer: COMMAND_OUTPUT_BYTES_MAX,
        },
        (error, stdout, stderr) => {
          if (error === null) resolve({ stdout, stderr });
          else reject(commandError(program, args, { error, stdout, stderr, timeoutMs }));
        },
      );
      if (child.pid !== undefined) letBeKilled(child.pid);
      child.stdin?.on('error', () => {}); // It did not want to read; its exit code says how it went.
      child.stdin?.end(input);
    });
  }
}

/**
 * When memory runs out, the kernel should kill the agent last, which serves devices; a program that the agent runs would
 * inherit that. At once: the process id is the program's as long as nobody has waited for it.
 */
function letBeKilled(pid: number): void {
  try {
    if (Number(readFileSync('/proc/self/oom_score_adj', 'utf8')) >= 0) return;
    writeFileSync(`/proc/${pid}/oom_score_adj`, '0');
  } catch {
    // It has ended already, or /proc cannot be written to: then it is spared as the agent is.
  }
}

/** What programs get: output in the C locale, so that it can be parsed. */
export function commandEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C', PATH: searchPath().join(':') };
}

/** Where programs are looked for: PATH, and where administration tools live (a user's PATH lacks them). */
export function searchPath(): string[] {
  const path = (process.env['PATH'] ?? '').split(':').filter((folder) => folder !== '');
  return [...new Set([...path, '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'])];
}

type ExecError = Error & {
  code?: number | string | null;
  killed?: boolean;
  signal?: string | null;
};

interface Failure {
  error: ExecError;
  stdout: string;
  stderr: string;
  timeoutMs: number;
}

function commandError(program: string, args: readonly string[], failure: Failure): CommandError {
  const { error, stdout, stderr } = failure;
  const exitCode = typeof error.code === 'number' ? error.code : null;
  const cause = exitCode === null ? { cause: error } : {};
  return new CommandError(program, args, exitCode, stderr, reasonOf(failure), cause, stdout);
}

function reasonOf({ error, stderr, timeoutMs }: Failure): string {
  if (error.code === 'ENOENT') return 'is not installed';
  if (error.code === 'EACCES') return 'must not be run by this user';
  if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'printed too much';
  if (error.killed === true) return `did not end within ${timeoutMs / 1000} s`;
  if (typeof error.code !== 'number') return `was ended by ${error.signal ?? 'an unknown cause'}`;
  const said = stderr.trim().split('\n').at(-1) ?? '';
  return said === '' ? `ended with code ${error.code}` : `ended with code ${error.code}: ${said}`;
}
