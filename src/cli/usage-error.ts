/** Makes a sentence and a next step out of what yargs has to say about a command line. */
import { AurochsError } from '../core/errors.js';
import { commandName } from './command.js';
import { NOUNS, STANDALONE } from './command-tree.js';

export function usageError(message: string, args: readonly string[]): AurochsError {
  const { known, unknown } = resolve(args);
  const help = `See: ${['aurochs', ...known, '--help'].join(' ')}`;
  if (unknown === null) return new AurochsError('INVALID_ARGUMENT', rephrase(message), help);
  const near = /^Did you mean (.*)\?$/.exec(message)?.[1];
  const hint = near === undefined ? help : `Did you mean: ${['aurochs', ...known, near].join(' ')}`;
  const command = [...known, unknown].join(' ');
  return new AurochsError('INVALID_ARGUMENT', `there is no command "${command}"`, hint);
}

/** How far the words name a command, and the first that does not. */
function resolve(args: readonly string[]): { known: string[]; unknown: string | null } {
  const known: string[] = [];
  let names = [...NOUNS.map(({ name }) => name), ...STANDALONE.map(commandName)];
  for (const word of args) {
    if (word.startsWith('-') || names.length === 0) break;
    if (!names.includes(word)) return { known, unknown: word };
    known.push(word);
    const noun = known.length === 1 ? NOUNS.find(({ name }) => name === word) : undefined;
    names = noun === undefined ? [] : noun.verbs.map(commandName);
  }
  return { known, unknown: null };
}

function rephrase(message: string): string {
  const sentence = message.replace(/\s*\n\s*/g, ' ').trim();
  if (sentence.startsWith('Not enough non-option arguments')) return 'an argument is missing';
  const value = /^Not enough arguments following: (.+)$/.exec(sentence);
  if (value !== null) return `--${value[1]} needs a value`;
  const implied = /^Missing dependent arguments: (\S+) -> (\S+)/.exec(sentence);
  if (implied !== null) return `--${implied[1]} needs --${implied[2]}`;
  const choice = /^Invalid values: Argument: (\S+), Given: (.+), Choices: (.+)$/.exec(sentence);
  if (choice !== null) return `${choice[1]} cannot be ${choice[2]}; choose from ${choice[3]}`;
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}
