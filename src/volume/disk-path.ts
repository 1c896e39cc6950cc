/** How disks are named by whoever asks for one. */
import { isAbsolute, normalize } from 'node:path';
import { AurochsError } from '../core/errors.js';
import { isId } from '../core/ids.js';
import { DISK_PATH_CHARS_MAX } from '../core/limits.js';

export function normalizePath(path: string): string {
  const clean = normalize(path);
  return clean.length > 1 && clean.endsWith('/') ? clean.slice(0, -1) : clean;
}

export function usablePath(path: string): string {
  if (!isAbsolute(path) || path.length > DISK_PATH_CHARS_MAX || path.includes('\0')) {
    throw new AurochsError(
      'INVALID_ARGUMENT',
      `disk path ${JSON.stringify(path.slice(0, 80))} is not an absolute path of at most ${DISK_PATH_CHARS_MAX} characters`,
      'Give the whole path of a directory, for example /var/lib/aurochs/disk1.',
    );
  }
  return normalizePath(path);
}

export function diskNotFound(wanted: string): AurochsError {
  const what = isId(wanted) ? `disk ${wanted}` : `disk ${JSON.stringify(wanted.slice(0, 80))}`;
  return new AurochsError('NOT_FOUND', `there is no ${what}`, '"aurochs disk ls" shows all.');
}
