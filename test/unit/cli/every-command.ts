import { commandName, type CommandSpec } from '../../../src/cli/command.js';
import { type Noun, PROGRAM } from '../../../src/cli/command-tree.js';

/** Every command with the words that name it. */
export function everyCommand(
  { nouns, verbs }: Noun = PROGRAM,
  above: readonly string[] = [],
): { path: string; spec: CommandSpec }[] {
  return [
    ...verbs.map((spec) => ({ path: [...above, commandName(spec)].join(' '), spec })),
    ...nouns.flatMap((noun) => everyCommand(noun, [...above, noun.name])),
  ];
}
