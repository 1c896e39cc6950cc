/** What is on a device, by blkid and by what its beginning holds. */
import { open } from 'node:fs/promises';

import { BLANK_BYTES_CHECKED } from '../core/limits.js';
import { CommandError } from './command.js';
import { runTool, unusable } from './filesystem.js';
import { BLOCK_BYTES, decodeTag, holdsWhatTagSays, isZero } from './format-tag.js';
import type { Host } from './host-namespaces.js';

/** What is on a device; `what` is in words: "a partition table (gpt)". */
export type Contents =
  | { kind: 'blank' }
  /** A format of this volume has begun and not ended, and nobody has written since. */
  | { kind: 'unfinished' }
  | { kind: 'fileSystem'; type: string }
  | { kind: 'encrypted'; label: string }
  | { kind: 'other'; what: string };

const BLKID_NOTHING_FOUND = 2;
const BLKID_AMBIVALENT = 8;

/** "KEY=value" lines of `blkid -o export`. */
export function parseBlkidExport(stdout: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0) values.set(line.slice(0, equals), line.slice(equals + 1));
  }
  return values;
}

export function contentsOf(blkid: ReadonlyMap<string, string>): Contents {
  const type = blkid.get('TYPE');
  if (type === 'crypto_LUKS') return { kind: 'encrypted', label: blkid.get('LABEL') ?? '' };
  if (type !== undefined) {
    return blkid.get('USAGE') === 'filesystem'
      ? { kind: 'fileSystem', type }
      : { kind: 'other', what: `${type} (${blkid.get('USAGE') ?? 'not a file system'})` };
  }
  const table = blkid.get('PTTYPE');
  if (table !== undefined) return { kind: 'other', what: `a partition table (${table})` };
  return { kind: 'blank' };
}

/**
 * blkid knows much but not everything (a database on the raw device); what is not zero is somebody's. Where a tag says
 * that it is our own, blkid looks behind the tag, whose bytes might look like anything.
 */
export async function probe(host: Host, device: string, volumeId: string): Promise<Contents> {
  const beginning = await readBeginning(host.path(device));
  const tag = decodeTag(beginning);
  if (tag === null) {
    const contents = await askBlkid(host, device, []);
    if (contents.kind !== 'blank' || isZero(beginning)) return contents;
    return { kind: 'other', what: 'data that is no file system known to blkid' };
  }
  if (tag.volumeId !== volumeId) {
    const what = `a format that was begun for another volume (${tag.volumeId}), of which it is a copy`;
    return { kind: 'other', what };
  }
  if (!holdsWhatTagSays(tag, beginning)) {
    return { kind: 'other', what: 'data that was written after a format had not come to its end' };
  }
  const behind = await askBlkid(host, device, ['-O', String(BLOCK_BYTES)]);
  return behind.kind === 'blank' ? { kind: 'unfinished' } : behind;
}

/** For a person. */
export function describe(contents: Contents): string {
  switch (contents.kind) {
    case 'blank':
      return 'nothing';
    case 'unfinished':
      return 'a format that has not come to its end';
    case 'fileSystem':
      return `the file system ${contents.type}`;
    case 'encrypted':
      return 'encrypted data (LUKS)';
    case 'other':
      return contents.what;
  }
}

/** Low-level probing: reads the device itself, not blkid's cache, which knows it by an old name. */
async function askBlkid(host: Host, device: string, args: readonly string[]): Promise<Contents> {
  try {
    const { stdout } = await runTool(host, 'blkid', ['-p', ...args, '-o', 'export', device]);
    return contentsOf(parseBlkidExport(stdout));
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (error.exitCode === BLKID_AMBIVALENT) {
      return { kind: 'other', what: 'the signatures of more than one file system' };
    }
    if (error.exitCode !== BLKID_NOTHING_FOUND) throw unusable(device, error);
    return { kind: 'blank' };
  }
}

async function readBeginning(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(BLANK_BYTES_CHECKED);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
