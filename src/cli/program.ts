/** The command line as a whole: nouns, then verbs, and what all of them have in common. */
import yargs, { type Argv, type CommandModule } from 'yargs';

import { ApiClient } from '../api/client.js';
import { readVersion } from '../daemon/version.js';
import { findApiSocket } from './api-socket.js';
import { type GlobalOptions, type Surroundings, moduleOf } from './command.js';
import { type Noun, PROGRAM } from './command-tree.js';
import { printCompletions } from './complete-names.js';
import { EXIT_OK, exitCodesSummary } from './exit-codes.js';
import { GLOBAL_OPTIONS } from './global-options.js';
import { reportError } from './report-error.js';
import type { Terminal } from './terminal.js';
import { usageError } from './usage-error.js';

/** Lines of help are no longer than this, however wide the terminal. */
const HELP_COLUMNS_MAX = 110;

/** What the scripts of `aurochs completion` call; not for people. */
const COMPLETE_FLAG = '--complete';

/** Runs one command line and returns its exit code; never throws. */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  const surroundings: Surroundings = {
    terminal,
    connect: (said) => new ApiClient({ socketPath: findApiSocket(said, terminal.env) }),
  };
  try {
    if (args[0] === COMPLETE_FLAG) await printCompletions(args.slice(1), terminal);
    else await buildProgram(surroundings, args).parseAsync();
    return EXIT_OK;
  } catch (error) {
    return reportError(terminal, error);
  }
}

function buildProgram(surroundings: Surroundings, args: readonly string[]): Argv<GlobalOptions> {
  const program = withGlobalOptions(yargs([...args]), surroundings.terminal);
  for (const noun of PROGRAM.nouns) program.command(nounModule(noun, surroundings));
  for (const spec of PROGRAM.verbs) program.command(moduleOf(spec, surroundings));
  return program
    .demandCommand(1, 'no command was given')
    .recommendCommands()
    .strict()
    .fail((message: string | null, error: Error | undefined) => {
      const ofParser = error === undefined || error.name === 'YError';
      throw ofParser ? usageError(message ?? error?.message ?? '', args) : error;
    });
}

function withGlobalOptions(program: Argv, terminal: Terminal): Argv<GlobalOptions> {
  return program
    .scriptName('aurochs')
    .usage('$0 <command>\n\nBlock volumes with snapshots out of local disks, over iSCSI and NBD.')
    .parserConfiguration({ 'dot-notation': false, 'greedy-arrays': false })
    .locale('en')
    .exitProcess(false)
    .wrap(Math.min(HELP_COLUMNS_MAX, terminal.stdout.columns ?? HELP_COLUMNS_MAX))
    .help()
    .alias('help', 'h')
    .version(readVersion())
    .epilogue(`${exitCodesSummary()}\nAUROCHS_DEBUG=1 shows where an error comes from.`)
    .example([
      ['$0 agent', 'run the agent of this machine'],
      ['$0 volume create db --size 10GiB', 'create a volume'],
      ['$0 volume attach db', 'offer it, and print how to reach it'],
      ['$0 doctor', 'see what stands in the way'],
    ])
    .options(GLOBAL_OPTIONS) as unknown as Argv<GlobalOptions>;
}

function nounModule(
  { name, describe, nouns, verbs }: Noun,
  surroundings: Surroundings,
): CommandModule<GlobalOptions, GlobalOptions> {
  return {
    command: name,
    describe,
    builder: (program) => {
      for (const noun of nouns) program.command(nounModule(noun, surroundings));
      for (const verb of verbs) program.command(moduleOf(verb, surroundings));
      return program.demandCommand(1, `no command was given for "${name}"`).recommendCommands();
    },
    handler: () => undefined,
  };
}
