/** The one shape of all commands: what it is called, what it takes, what it does. */
import type {
  ArgumentsCamelCase,
  Argv,
  CommandModule,
  InferredOptionTypes,
  Options,
  PositionalOptions,
} from 'yargs';

import type { ApiClient } from '../api/client.js';
import { AurochsError } from '../core/errors.js';
import { GLOBAL_OPTIONS } from './global-options.js';
import { Output, type OutputFormat } from './output.js';
import type { Terminal } from './terminal.js';

/** Options that every command has. */
export interface GlobalOptions {
  apiSocket?: string;
  output: OutputFormat;
}

/** What the commands share; made once a run. */
export interface Surroundings {
  terminal: Terminal;
  /** A client for the agent at that socket, or the usual one; it connects with the first request. */
  connect: (apiSocket: string | undefined) => ApiClient;
}

type Positionals = Record<string, PositionalOptions>;
type OptionSet = Record<string, Options>;

/** What a running command works with. */
export interface Running<P extends Positionals, O extends OptionSet> {
  args: ArgumentsCamelCase<InferredOptionTypes<P> & InferredOptionTypes<O> & GlobalOptions>;
  api: ApiClient;
  output: Output;
  terminal: Terminal;
}

/** Data only, so that help and shell completion know it as well as the parser. */
export interface CommandSpec<P extends Positionals = Positionals, O extends OptionSet = OptionSet> {
  /** "create <name>" */
  usage: string;
  describe: string;
  /** Command line and what it does. */
  examples: [string, string][];
  /** In the order of `usage`. */
  positionals: P;
  options: O;
  run: (running: Running<P, O>) => Promise<void>;
}

/** Infers the types of a command's arguments. */
export function command<const P extends Positionals, const O extends OptionSet>(
  spec: CommandSpec<P, O>,
): CommandSpec {
  return spec as unknown as CommandSpec;
}

export function commandName({ usage }: CommandSpec): string {
  return usage.split(' ')[0] ?? usage;
}

export function moduleOf(
  spec: CommandSpec,
  surroundings: Surroundings,
): CommandModule<GlobalOptions, GlobalOptions> {
  return {
    command: spec.usage,
    describe: spec.describe,
    builder: (program) => {
      for (const [name, positional] of Object.entries(spec.positionals)) {
        program.positional(name, positional);
      }
      return program.options(spec.options).example(spec.examples) as unknown as Argv<GlobalOptions>;
    },
    handler: async (args) => {
      const { terminal } = surroundings;
      refuseRepetition(spec, args);
      const api = surroundings.connect(args.apiSocket);
      try {
        const output = new Output(terminal, args.output);
        await spec.run({ args, api, output, terminal });
      } finally {
        await api.close();
      }
    },
  };
}

/** The parser makes a list of an option that is repeated; only some options are meant to be one. */
function refuseRepetition(spec: CommandSpec, args: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(args)) {
    if (!Array.isArray(value) || name === '_' || spec.options[name]?.array === true) continue;
    if (spec.options[name] === undefined && GLOBAL_OPTIONS[name] === undefined) continue; // An alias.
    throw new AurochsError(
      'INVALID_ARGUMENT',
      `--${name} was given more than once`,
      'Give it once.',
    );
  }
}
