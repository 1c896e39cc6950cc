/** Labels as people write them. */
import { AurochsError } from '../core/errors.js';

const HINT = 'Write KEY=VALUE; to take one away: aurochs volume label VOLUME KEY-';

/** "team=storage" of each. */
export function parseLabels(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map(keyAndValue));
}

/** As parseLabels; "team-" takes a label away. */
export function parseLabelChanges(words: readonly string[]): Record<string, string | null> {
  return Object.fromEntries(
    words.map((word): [string, string | null] =>
      word.endsWith('-') && !word.includes('=') ? [word.slice(0, -1), null] : keyAndValue(word),
    ),
  );
}

function keyAndValue(word: string): [string, string] {
  const equals = word.indexOf('=');
  if (equals > 0) return [word.slice(0, equals), word.slice(equals + 1)];
  throw new AurochsError('INVALID_ARGUMENT', `${JSON.stringify(word)} is no label`, HINT);
}
