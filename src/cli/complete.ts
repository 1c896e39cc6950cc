/** What a shell may offer after a TAB. A pure function of the words; names come from elsewhere. */
import type { Options } from 'yargs';

import type { CommandSpec } from './command.js';
import { GLOBAL_OPTIONS } from './global-options.js';
import { namesBelow, walk } from './command-tree.js';

/** Either words to choose from, or the kind of name that fits and what is known about it. */
export type Offer =
  | { words: string[] }
  | { kind: 'volume' | 'disk' | 'node' | 'group' }
  | { kind: 'snapshot'; volume: string };

const NOTHING: Offer = { words: [] };
const HELP_OPTIONS = ['--help', '--version'];

/** `words` are those after the program's name; the last one is being written and may be empty. */
export function complete(words: readonly string[]): Offer {
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const { noun, spec, depth } = walk(before);
  if (spec !== undefined) return completeCommand(spec, words.slice(depth));
  if (depth < before.length) return NOTHING;
  if (depth === 0 && current.startsWith('-')) {
    return startingWith(current, [...dashed(GLOBAL_OPTIONS), ...HELP_OPTIONS]);
  }
  return startingWith(current, namesBelow(noun));
}

function completeCommand(spec: CommandSpec, words: readonly string[]): Offer {
  const options: Record<string, Options> = { ...spec.options, ...GLOBAL_OPTIONS };
  const current = words.at(-1) ?? '';
  const { positionals, pending } = read(words.slice(0, -1), options);
  const volume = 'volume' in spec.positionals ? (positionals[0] ?? '') : null;
  if (pending !== null) return offerValue(pending, options[pending], volume, current);
  if (current.startsWith('-')) {
    const unused = dashed(options).filter((option) => !words.includes(option));
    return startingWith(current, [...unused, ...HELP_OPTIONS]);
  }
  const all = Object.entries(spec.positionals);
  const last = all.at(-1);
  const more = last?.[1].array === true ? last : undefined; // It takes all that follow.
  const [name, positional] = all[positionals.length] ?? more ?? [];
  return name === undefined ? NOTHING : offerValue(name, positional, volume, current);
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

/** Of a command that is not about one volume, snapshots are named behind their volumes. */
function offerValue(
  name: string,
  option: { choices?: unknown } | undefined,
  volume: string | null,
  current: string,
): Offer {
  if (Array.isArray(option?.choices)) return startingWith(current, option.choices.map(String));
  switch (name) {
    case 'volume':
    case 'disk':
    case 'node':
    case 'group':
      return { kind: name };
    case 'volumes':
      return { kind: 'volume' };
    case 'snapshot':
    case 'from':
    case 'to':
      return volume === null ? { kind: 'volume' } : { kind: 'snapshot', volume };
    default:
      return NOTHING;
  }
}

function dashed(options: Record<string, Options>): string[] {
  return Object.keys(options).map((name) => `--${name}`);
}

function startingWith(current: string, words: readonly string[]): Offer {
  return { words: words.filter((word) => word.startsWith(current)) };
}
