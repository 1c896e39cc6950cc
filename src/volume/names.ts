/** What users may call things, and the names that initiators see. */
import { AurochsError } from '../core/errors.js';
import { isId } from '../core/ids.js';
import {
  CHAP_SECRET_BYTES_MAX,
  CHAP_SECRET_BYTES_MIN,
  CHAP_USER_CHARS_MAX,
  INITIATORS_MAX,
  INITIATOR_NAME_CHARS_MAX,
  SNAPSHOT_NAME_CHARS_MAX,
  VOLUME_NAME_CHARS_MAX,
} from '../core/limits.js';
import type { ChapSettings } from './model.js';

export const IQN_PREFIX = 'iqn.2026-11.io.aurochs:';

/** The target name of a volume (RFC 7143, 4.2.7.5). */
export function targetName(volume: string): string {
  return IQN_PREFIX + volume;
}

/** The volume that a target name or an NBD export name stands for. */
export function volumeOfExport(name: string): string {
  return name.startsWith(IQN_PREFIX) ? name.slice(IQN_PREFIX.length) : name;
}

// RFC 1123 label. It becomes part of an IQN (lower case only), a directory and an NBD export name.
const LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
// As a label, with dots and underscores inside.
const SNAPSHOT_NAME = /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/;
// RFC 7143, 4.2.7.2 to 4.2.7.6: iqn., eui. and naa. names after normalization.
const INITIATOR_NAME =
  /^(?:iqn\.\d{4}-\d{2}\.[a-z0-9.-]+(?::[^\s,]+)?|eui\.[0-9a-f]{16}|naa\.(?:[0-9a-f]{16}|[0-9a-f]{32}))$/i;

function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

function invalid(message: string, hint: string): AurochsError {
  return new AurochsError('INVALID_ARGUMENT', message, hint);
}

/** Absolute, with a name at its end, and without anything that leads elsewhere. */
export function isPlainPath(path: string): boolean {
  const names = path.split('/').slice(1);
  const plain = names.every((name) => name !== '' && name !== '.' && name !== '..');
  return path.startsWith('/') && plain && !path.includes('\0');
}

export function checkVolumeName(name: string): void {
  if (name.length <= VOLUME_NAME_CHARS_MAX && LABEL.test(name)) return;
  throw invalid(
    `volume name ${shown(name)} is not usable`,
    `Use 1 to ${VOLUME_NAME_CHARS_MAX} of a-z, 0-9 and "-", beginning and ending with a letter or digit.`,
  );
}

export function checkSnapshotName(name: string): void {
  if (name.length > SNAPSHOT_NAME_CHARS_MAX || !SNAPSHOT_NAME.test(name)) {
    throw invalid(
      `snapshot name ${shown(name)} is not usable`,
      `Use 1 to ${SNAPSHOT_NAME_CHARS_MAX} of a-z, 0-9, "-", "." and "_", beginning and ending with a letter or digit.`,
    );
  }
  if (isId(name)) {
    throw invalid(
      `snapshot name ${shown(name)} looks like an id`,
      'Choose another name, so that a name is never taken for an id.',
    );
  }
}

export function checkInitiators(initiators: readonly string[]): void {
  if (initiators.length > INITIATORS_MAX) {
    throw new AurochsError(
      'LIMIT_EXCEEDED',
      `${initiators.length} initiators; a volume takes at most ${INITIATORS_MAX}`,
    );
  }
  for (const name of initiators) {
    if (name.length <= INITIATOR_NAME_CHARS_MAX && INITIATOR_NAME.test(name)) continue;
    throw invalid(
      `initiator name ${shown(name)} is not an iSCSI name`,
      'It is in /etc/iscsi/initiatorname.iscsi, for example iqn.1993-08.org.debian:01:6f2d5a3c8b1e.',
    );
  }
}

function checkCredentials(what: string, user: string, secret: string): void {
  if (user === '' || user.length > CHAP_USER_CHARS_MAX || /[\p{Cc}\s]/u.test(user)) {
    throw invalid(
      `${what}: the user name is empty, too long or has blanks in it`,
      `Use 1 to ${CHAP_USER_CHARS_MAX} visible characters.`,
    );
  }
  const bytes = Buffer.byteLength(secret);
  if (bytes < CHAP_SECRET_BYTES_MIN || bytes > CHAP_SECRET_BYTES_MAX) {
    throw invalid(
      `${what}: the secret has ${bytes} bytes`,
      `RFC 7143 asks for at least ${CHAP_SECRET_BYTES_MIN}; at most ${CHAP_SECRET_BYTES_MAX} are accepted.`,
    );
  }
}

export function checkChap(chap: ChapSettings): void {
  checkCredentials('chap', chap.user, chap.secret);
  if (chap.mutualUser === undefined && chap.mutualSecret === undefined) return;
  if (chap.mutualUser === undefined || chap.mutualSecret === undefined) {
    throw invalid(
      'chap: mutual authentication needs both a user and a secret',
      'Give mutualUser and mutualSecret, or neither.',
    );
  }
  checkCredentials('chap, mutual', chap.mutualUser, chap.mutualSecret);
  if (chap.mutualSecret === chap.secret) {
    throw invalid(
      'chap: both directions have the same secret',
      'RFC 7143, 9.2.1 forbids that, because it lets an attacker reflect the challenge. Choose two.',
    );
  }
}
