/** What is mounted where, from /proc/<pid>/mountinfo (proc(5)). */
import { readFile } from 'node:fs/promises';

import type { Host } from './host-namespaces.js';

export interface MountEntry {
  /** "8:0": the device, whatever name it was mounted by. */
  deviceNumber: string;
  /** What of the file system is mounted: "/", or the directory or file of a bind mount. */
  root: string;
  mountPoint: string;
  fileSystem: string;
  readOnly: boolean;
  /** The file system lets nobody write, whatever the mount says: a read-only device, or it has met an error. */
  fileSystemReadOnly: boolean;
}

/** What a file system says of itself that takes no writes; all but the first come after an error. */
const UNWRITABLE = ['ro', 'abort', 'emergency_ro', 'shutdown'];

/** In the order in which they were mounted. */
export async function readMountTable(host: Host): Promise<MountEntry[]> {
  return parseMountInfo(await readFile(host.path(host.processFile('mountinfo')), 'utf8'));
}

/** Lines of "id parent major:minor root mount-point options fields… - type source super-options". */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [mount, fileSystem] = line.split(' - ');
    const [, , deviceNumber, root, mountPoint, options] = (mount ?? '').split(' ');
    const [type, , superOptions] = (fileSystem ?? '').split(' ');
    if (deviceNumber === undefined || mountPoint === undefined || !type) continue;
    entries.push({
      deviceNumber,
      root: unescapeOctal(root ?? ''),
      mountPoint: unescapeOctal(mountPoint),
      fileSystem: type,
      readOnly: has(options, 'ro'),
      fileSystemReadOnly: UNWRITABLE.some((option) => has(superOptions, option)),
    });
  }
  return entries;
}

function has(options: string | undefined, option: string): boolean {
  return options?.split(',').includes(option) === true;
}

/** Blanks and backslashes are written as three octal digits. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(parseInt(digits, 8)),
  );
}
