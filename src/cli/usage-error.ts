/** Makes a sentence and a next step out of what yargs has to say about a command line. */
import { AurochsError } from '../core/errors.js';
import type { CommandSpec } from './command.js';
import { walk } from './command-tree.js';
import { GLOBAL_OPTIONS } from './global-options.js';

export function usageError(message: string, args: readonly string[]): AurochsError {
  const { known, unknown, spec } = resolve(args);
  const help = `See: ${['aurochs', ...known, '--help'].join(' ')}`;
  if (unknown === undefined) {
    const sentence = rephrase(message, spec, args);
    return new AurochsError('INVALID_ARGUMENT', sentence, help);
  }
  const near = /^Did you mean (.*)\?$/.exec(message)?.[1];
  const hint = near === undefined ? help : `Did you mean: ${['aurochs', ...known, near].join(' ')}`;
  const command = [...known, unknown].join(' ');
  return new AurochsError('INVALID_ARGUMENT', `there is no command "${command}"`, hint);
}

/** How far the words name a command, and the first that does not. */
function resolve(args: readonly string[]): {
  known: readonly string[];
  unknown: string | undefined;
  spec: CommandSpec | undefined;
} {
  const firstOption = args.findIndex((word) => word.startsWith('-'));
  const words = firstOption < 0 ? args : args.slice(0, firstOption);
  const { spec, depth } = walk(words);
  const known = words.slice(0, depth);
  return { known, unknown: spec === undefined ? words[depth] : undefined, spec };
}

function rephrase(message: string, spec: CommandSpec | undefined, args: readonly string[]): string {
  const sentence = message.replace(/\s*\n\s*/g, ' ').trim();
  const few = /^Not enough non-option arguments: got (\d+)/.exec(sentence);
  if (few !== null) return missingPositional(spec, Number(few[1]));
  const value = /^Not enough arguments following: (.+)$/.exec(sentence);
  if (value !== null) return `${dashed(value[1] ?? '')} needs a value`;
  const required = /^Missing required argument: (\S+)$/.exec(sentence);
  if (required !== null) return missingOption(spec, required[1] ?? '', args);
  const implied = /^Missing dependent arguments: (\S+) -> (\S+)/.exec(sentence);
  if (implied !== null) return `--${implied[1]} needs --${implied[2]}`;
  const choice = /^Invalid values: Argument: (\S+), Given: (.+), Choices: (.+)$/.exec(sentence);
  if (choice !== null) return `${choice[1]} cannot be ${choice[2]}; choose from ${choice[3]}`;
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}

function dashed(option: string): string {
  return option.length === 1 ? `-${option}` : `--${option}`;
}

function missingPositional(spec: CommandSpec | undefined, given: number): string {
  const name = spec === undefined ? undefined : Object.keys(spec.positionals)[given];
  return name === undefined ? 'an argument is missing' : `<${name}> is missing`;
}

/** An option that is missing may be there under a name that does not exist: then that is the mistake. */
function missingOption(
  spec: CommandSpec | undefined,
  missing: string,
  args: readonly string[],
): string {
  const unknown = args
    .map((arg) => /^--(?:no-)?([^=]+)/.exec(arg)?.[1])
    .find(
      (name) =>
        name !== undefined &&
        spec?.options[name] === undefined &&
        GLOBAL_OPTIONS[name] === undefined,
    );
  return unknown === undefined ? `${dashed(missing)} is missing` : `unknown argument: ${unknown}`;
}
