/** What a shell may offer after a TAB. A pure function of the words; names come from elsewhere. */
import type { Options } from 'yargs';

import { type CommandSpec, commandName } from './command.js';
import { GLOBAL_OPTIONS } from './global-options.js';
import { NOUNS, STANDALONE } from './command-tree.js';

/** Either words to choose from, or the kind of name that fits and what is known about it. */
export type Offer =
  { words: string[] } | { kind: 'volume' | 'disk' } | { kind: 'snapshot'; volume: string };

const NOTHING: Offer = { words: [] };
const HELP_OPTIONS = ['--help', '--version'];

/** `words` are those after the program's name; the last one is being written and may be empty. */
export function complete(words: readonly string[]): Offer {
  const current = words.at(-1) ?? '';
  const [first, second] = words;
  if (words.length <= 1) {
    const names = [...NOUNS.map(({ name }) => name), ...STANDALONE.map(commandName)];
    return startingWith(
      current,
      current.startsWith('-') ? [...dashed(GLOBAL_OPTIONS), ...HELP_OPTIONS] : names,
    );
  }
  const noun = NOUNS.find(({ name }) => name === first);
  if (noun === undefined) {
    const spec = STANDALONE.find((candidate) => commandName(candidate) === first);
    return spec === undefined ? NOTHING : completeCommand(spec, words.slice(1));
  }
  if (words.length === 2) return startingWith(current, noun.verbs.map(commandName));
  const spec = noun.verbs.find((candidate) => commandName(candidate) === second);
  return spec === undefined ? NOTHING : completeCommand(spec, words.slice(2));
}

function completeCommand(spec: CommandSpec, words: readonly string[]): Offer {
  const options: Record<string, Options> = { ...spec.options, ...GLOBAL_OPTIONS };
  const current = words.at(-1) ?? '';
  const { positionals, pending } = read(words.slice(0, -1), options);
  if (pending !== null) return offerValue(pending, options[pending], positionals[0] ?? '', current);
  if (current.startsWith('-')) {
    const unused = dashed(options).filter((option) => !words.includes(option));
    return startingWith(current, [...unused, ...HELP_OPTIONS]);
  }
  const [name, positional] = Object.entries(spec.positionals)[positionals.length] ?? [];
  return name === undefined ? NOTHING : offerValue(name, positional, positionals[0] ?? '', current);
}

/** Tells positionals from options and their values; `pending` is an option that still lacks its value. */
function read(
  words: readonly string[],
  options: Record<string, Options>,
): { positionals: string[]; pending: string | null } {
  const positionals: string[] = [];
  let pending: string | null = null;
  for (const word of words) {
    if (pending !== null) pending = null;
    else if (word.startsWith('-')) pending = needsValue(word, options);
    else positionals.push(word);
  }
  return { positionals, pending };
}

function needsValue(word: string, options: Record<string, Options>): string | null {
  const name = word.replace(/^--?/, '');
  const found = Object.entries(options).find(([key, { alias }]) => key === name || alias === name);
  return found === undefined || found[1].type === 'boolean' ? null : found[0];
}

function offerValue(
  name: string,
  option: { choices?: unknown } | undefined,
  volume: string,
  current: string,
): Offer {
  if (Array.isArray(option?.choices)) return startingWith(current, option.choices.map(String));
  if (name === 'volume' || name === 'disk') return { kind: name };
  if (name === 'snapshot' || name === 'from' || name === 'to') return { kind: 'snapshot', volume };
  return NOTHING;
}

function dashed(options: Record<string, Options>): string[] {
  return Object.keys(options).map((name) => `--${name}`);
}

function startingWith(current: string, words: readonly string[]): Offer {
  return { words: words.filter((word) => word.startsWith(current)) };
}
