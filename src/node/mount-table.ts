/** What is mounted where, from /proc/<pid>/mountinfo (proc(5)). */
import { readFile } from 'node:fs/promises';

import type { Host } from './host-namespaces.js';

export interface MountEntry {
  /** "8:0": the device, whatever name it was mounted by. */
  deviceNumber: string;
  mountPoint: string;
  fileSystem: string;
  readOnly: boolean;
}

/** In the order in which they were mounted. */
export async function readMountTable(host: Host): Promise<MountEntry[]> {
  return parseMountInfo(await readFile(host.path(host.processFile('mountinfo')), 'utf8'));
}

/** Lines of "id parent major:minor root mount-point options fields… - type source super-options". */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [mount, fileSystem] = line.split(' - ');
    const [, , deviceNumber, , mountPoint, options] = (mount ?? '').split(' ');
    const type = fileSystem?.split(' ')[0];
    if (deviceNumber === undefined || mountPoint === undefined || type === undefined) continue;
    entries.push({
      deviceNumber,
      mountPoint: unescapeOctal(mountPoint),
      fileSystem: type,
      readOnly: (options ?? '').split(',').includes('ro'),
    });
  }
  return entries;
}

/** Blanks and backslashes are written as three octal digits. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(parseInt(digits, 8)),
  );
}
