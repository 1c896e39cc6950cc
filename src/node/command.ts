/**
 * Runs programs of the machine (iscsiadm, findmnt, …). Running is here, understanding what they print
 * is beside the one who asked: a parser is a pure function and is tested without the program.
 */
import { execFile } from 'node:child_process';

/** A program that does not end by then is killed; none that we run takes longer when it works. */
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
    reason: string,
    options?: ErrorOptions,
  ) {
    super(`${[program, ...args].join(' ')}: ${reason}`, options);
  }

  /** The program is not installed (or not in the PATH). */
  get missing(): boolean {
    return (this.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
  }
}

export interface CommandRunner {
  /** Resolves when the program has ended with 0; rejects with a CommandError otherwise. */
  run(program: string, args: readonly string[]): Promise<CommandResult>;
}

/** Runs programs without a shell, in the C locale so that what they print can be parsed. */
export class SystemCommandRunner implements CommandRunner {
  run(program: string, args: readonly string[]): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      execFile(
        program,
        [...args],
        {
          encoding: 'utf8',
          env: { ...process.env, LC_ALL: 'C', PATH: searchPath().join(':') },
          timeout: COMMAND_TIMEOUT_MS,
          killSignal: 'SIGKILL',
          maxBuffer: COMMAND_OUTPUT_BYTES_MAX,
        },
        (error, stdout, stderr) => {
          if (error === null) resolve({ stdout, stderr });
          else reject(commandError(program, args, error, stderr));
        },
      );
    });
  }
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

function commandError(
  program: string,
  args: readonly string[],
  error: ExecError,
  stderr: string,
): CommandError {
  const exitCode = typeof error.code === 'number' ? error.code : null;
  const cause = exitCode === null ? { cause: error } : {};
  return new CommandError(program, args, exitCode, stderr, reasonOf(error, stderr), cause);
}

function reasonOf(error: ExecError, stderr: string): string {
  if (error.code === 'ENOENT') return 'is not installed';
  if (error.code === 'EACCES') return 'must not be run by this user';
  if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'printed too much';
  if (error.killed === true) return `did not end within ${COMMAND_TIMEOUT_MS / 1000} s`;
  if (typeof error.code !== 'number') return `was ended by ${error.signal ?? 'an unknown cause'}`;
  const said = stderr.trim().split('\n').at(-1) ?? '';
  return said === '' ? `ended with code ${error.code}` : `ended with code ${error.code}: ${said}`;
}
