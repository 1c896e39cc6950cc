/** Words that users hang on things: labels of volumes, tags of disks and nodes, zones and names of nodes. */
import { AurochsError } from '../core/errors.js';
import { isId } from '../core/ids.js';
import {
  LABEL_KEY_CHARS_MAX,
  LABEL_VALUE_CHARS_MAX,
  LABELS_MAX,
  NODE_NAME_CHARS_MAX,
  TAGS_MAX,
  WORD_CHARS_MAX,
} from '../core/limits.js';

export type Labels = Readonly<Record<string, string>>;

const LABEL_KEY = /^[a-z0-9][a-z0-9./_-]*$/;
const INVISIBLE = /\p{C}/u;
const WORD = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/;

function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

function invalid(message: string, hint: string): AurochsError {
  return new AurochsError('INVALID_ARGUMENT', message, hint);
}

export function checkLabels(labels: Labels): void {
  const entries = Object.entries(labels);
  if (entries.length > LABELS_MAX) {
    throw new AurochsError(
      'LIMIT_EXCEEDED',
      `${entries.length} labels; a volume takes at most ${LABELS_MAX}`,
    );
  }
  for (const [key, value] of entries) {
    checkLabelKey(key);
    if ([...value].length <= LABEL_VALUE_CHARS_MAX && !INVISIBLE.test(value)) continue;
    throw invalid(
      `label ${key}: the value ${shown(value)} is not usable`,
      `Use at most ${LABEL_VALUE_CHARS_MAX} visible characters.`,
    );
  }
}

function checkLabelKey(key: string): void {
  if (key.length <= LABEL_KEY_CHARS_MAX && LABEL_KEY.test(key)) return;
  throw invalid(
    `label key ${shown(key)} is not usable`,
    `Use 1 to ${LABEL_KEY_CHARS_MAX} of a-z, 0-9, ".", "/", "_" and "-", beginning with a letter or digit.`,
  );
}

/** The labels with the changes made; null removes. */
export function changedLabels(
  labels: Labels,
  changes: Readonly<Record<string, string | null>>,
): Record<string, string> {
  for (const key of Object.keys(changes)) checkLabelKey(key);
  const changed = Object.entries({ ...labels, ...changes }).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  );
  const result = Object.fromEntries(changed);
  checkLabels(result);
  return result;
}

function checkWord(what: string, word: string): void {
  if (word.length <= WORD_CHARS_MAX && WORD.test(word)) return;
  throw invalid(
    `${what} ${shown(word)} is not usable`,
    `Use 1 to ${WORD_CHARS_MAX} letters, digits, ".", "_" and "-", beginning and ending with a letter or digit.`,
  );
}

/** The tags, each once, in order. */
export function usableTags(what: string, tags: readonly string[]): string[] {
  if (tags.length > TAGS_MAX) {
    throw new AurochsError('LIMIT_EXCEEDED', `${tags.length} tags; there may be ${TAGS_MAX}`);
  }
  for (const tag of tags) checkWord(what, tag);
  return [...new Set(tags)].sort();
}

export function checkZone(zone: string): void {
  checkWord('zone', zone);
}

export function checkNodeName(name: string): void {
  if (name.length <= NODE_NAME_CHARS_MAX && WORD.test(name) && !isId(name)) return;
  throw invalid(
    `node name ${shown(name)} is not usable`,
    `Use 1 to ${NODE_NAME_CHARS_MAX} letters, digits, "." and "-", and nothing that looks like an id.`,
  );
}
