/**
 * Pages of lists that change while they are read. A token says behind which entry the page begins, not at which index,
 * so that nothing is left out or told twice when entries come and go.
 */
import { AurochsError } from '../core/errors.js';

const TOKEN_PREFIX = 'after:';

export interface PageRequest {
  maxEntries: number;
  startingToken: string;
}

export interface Page<T> {
  entries: T[];
  /** Empty at the end. */
  nextToken: string;
}

/** The key behind which the page begins, empty for the first; ABORTED for a token that is none of ours. */
export function startOf({ startingToken }: PageRequest, isKey: (key: string) => boolean): string {
  if (startingToken === '') return '';
  const key = startingToken.slice(TOKEN_PREFIX.length);
  if (startingToken.startsWith(TOKEN_PREFIX) && isKey(key)) return key;
  throw new AurochsError('ABORTED', 'starting_token is not valid', 'Begin the list anew.');
}

export function tokenAfter(key: string): string {
  return TOKEN_PREFIX + key;
}

/** How many entries a page may have; INVALID_ARGUMENT when negative. */
export function pageSize({ maxEntries }: PageRequest): number {
  if (maxEntries < 0) throw new AurochsError('INVALID_ARGUMENT', 'max_entries is negative');
  return maxEntries === 0 ? Infinity : maxEntries;
}

/** Takes a page from the front of `sorted`, whose entries all lie behind the start. */
export function pageOf<T>(
  sorted: readonly T[],
  size: number,
  keyOf: (entry: T) => string,
): Page<T> {
  const entries = sorted.slice(0, size);
  const last = entries.at(-1);
  const isLast = entries.length === sorted.length || last === undefined;
  return { entries, nextToken: isLast ? '' : tokenAfter(keyOf(last)) };
}
