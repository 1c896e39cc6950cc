/**
 * The host as seen from where the agent runs. Devices and mounts belong to the host's namespaces; an agent in a
 * container (with the host's process ids) or in a systemd unit with a mount namespace of its own reaches them
 * through process 1. This is the only place that knows of it: everyone else asks for a path or runs a program.
 */
import { readlink } from 'node:fs/promises';

import { FORMATS_PARALLEL, KEY_DERIVATIONS_PARALLEL } from '../core/limits.js';
import { Slots } from '../core/slots.js';
import {
  CommandError,
  type CommandOptions,
  type CommandResult,
  type CommandRunner,
} from './command.js';

/** What nsenter ends with when it cannot find the program. */
const NSENTER_NO_PROGRAM = 127;
const NSENTER = ['--target', '1', '--mount', '--net', '--ipc', '--uts', '--'];

export interface HostView {
  /** What stands before every path of the host: "", or "/proc/1/root". */
  root: string;
  /** The process whose mounts and sockets are the host's. */
  process: 'self' | '1';
  /** Programs are run through nsenter. */
  enter: boolean;
}

const OWN_VIEW: HostView = { root: '', process: 'self', enter: false };
const ENTERED_VIEW: HostView = { root: '/proc/1/root', process: '1', enter: true };

export class Host implements CommandRunner {
  /** For whatever formats, of any volume. Whoever has a place may wait for one of `keyDerivations`, not the other way. */
  readonly formats = new Slots(FORMATS_PARALLEL);
  readonly keyDerivations = new Slots(KEY_DERIVATIONS_PARALLEL);

  constructor(
    private readonly runner: CommandRunner,
    readonly view: HostView = OWN_VIEW,
  ) {}

  /** Where the agent opens a file of the host. */
  path(hostPath: string): string {
    return this.view.root + hostPath;
  }

  get root(): string {
    return this.view.root;
  }

  /** A host path below /proc of a process that sees the host's mounts and network. */
  processFile(name: string): string {
    return `/proc/${this.view.process}/${name}`;
  }

  /** The command line that runs a program of the host among the host's mounts. */
  commandLine(program: string, args: readonly string[]): [program: string, args: string[]] {
    return this.view.enter ? ['nsenter', [...NSENTER, program, ...args]] : [program, [...args]];
  }

  /** Runs a program of the agent's own, where the agent is. */
  runHere(
    program: string,
    args: readonly string[],
    options?: CommandOptions,
  ): Promise<CommandResult> {
    return this.runner.run(program, args, options);
  }

  async run(
    program: string,
    args: readonly string[],
    options?: CommandOptions,
  ): Promise<CommandResult> {
    try {
      return await this.runner.run(...this.commandLine(program, args), options);
    } catch (error) {
      if (!this.view.enter || !(error instanceof CommandError)) throw error;
      if (error.exitCode !== NSENTER_NO_PROGRAM) throw error;
      const cause = Object.assign(new Error('not found'), { code: 'ENOENT' });
      throw new CommandError(program, args, null, error.stderr, 'is not installed', { cause });
    }
  }
}

/** Decides once, at the start: process 1 with other mounts than ours is the host's init. */
export async function hostOfThisProcess(runner: CommandRunner): Promise<Host> {
  // Without root /proc/1 is not readable; nothing could be attached then, and doctor says so.
  const [init, own] = await Promise.all(
    ['/proc/1/ns/mnt', '/proc/self/ns/mnt'].map((path) => readlink(path).catch(() => null)),
  );
  const entered = init !== null && own !== null && init !== own;
  return new Host(runner, entered ? ENTERED_VIEW : OWN_VIEW);
}
