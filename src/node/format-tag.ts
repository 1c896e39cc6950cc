/**
 * The tag of a format that has begun: the first block of a device until its file system is complete. It says for
 * which volume, and by hashes what the format may leave within the part that is looked at, so that a later attempt
 * can tell what a kill or a power cut has left from what somebody has written. Byte table: docs/devices.md.
 */
import { createHash } from 'node:crypto';

import { BLANK_BYTES_CHECKED } from '../core/limits.js';

/** What a disk writes whole: half a tag is never seen. */
export const BLOCK_BYTES = 4096;

const MAGIC = Buffer.from('AUROCHSF', 'latin1');
const VERSION = 1;
const VERSION_OFFSET = 8;
const COUNT_OFFSET = 12;
const VOLUME_OFFSET = 16;
const VOLUME_BYTES = 64;
const CHECKSUM_OFFSET = 80;
const CHECKSUM_BYTES = 32;
const HASHES_OFFSET = 112;
const HASH_BYTES = 15;
/** Of the blocks behind the tag. */
export const HASH_COUNT = BLANK_BYTES_CHECKED / BLOCK_BYTES - 1;

export interface FormatTag {
  volumeId: string;
  hashes: readonly Buffer[];
}

/** `beginning`: the first BLANK_BYTES_CHECKED bytes of what is to be written. */
export function encodeTag(volumeId: string, beginning: Buffer): Buffer {
  const id = Buffer.from(volumeId, 'utf8');
  if (id.length > VOLUME_BYTES) throw new RangeError(`volume id ${volumeId} is too long for a tag`);
  const tag = Buffer.alloc(BLOCK_BYTES);
  MAGIC.copy(tag);
  tag.writeUInt32LE(VERSION, VERSION_OFFSET);
  tag.writeUInt32LE(HASH_COUNT, COUNT_OFFSET);
  id.copy(tag, VOLUME_OFFSET);
  blocksBehindTag(beginning).forEach((block, index) => {
    hashOf(block).copy(tag, HASHES_OFFSET + index * HASH_BYTES);
  });
  checksumOf(tag).copy(tag, CHECKSUM_OFFSET);
  return tag;
}

/** Null when it is none, or not whole, or of a version that is not known: then it is somebody's data. */
export function decodeTag(block: Buffer): FormatTag | null {
  if (block.length < BLOCK_BYTES) return null;
  const tag = block.subarray(0, BLOCK_BYTES);
  if (!tag.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  if (tag.readUInt32LE(VERSION_OFFSET) !== VERSION) return null;
  if (tag.readUInt32LE(COUNT_OFFSET) !== HASH_COUNT) return null;
  const checksum = tag.subarray(CHECKSUM_OFFSET, CHECKSUM_OFFSET + CHECKSUM_BYTES);
  if (!checksumOf(tag).equals(checksum)) return null;
  const id = tag.subarray(VOLUME_OFFSET, VOLUME_OFFSET + VOLUME_BYTES);
  const end = id.indexOf(0);
  const hashes = Array.from({ length: HASH_COUNT }, (_, index) => {
    const offset = HASHES_OFFSET + index * HASH_BYTES;
    return Buffer.from(tag.subarray(offset, offset + HASH_BYTES));
  });
  return { volumeId: id.subarray(0, end < 0 ? VOLUME_BYTES : end).toString('utf8'), hashes };
}

/** Whether every block behind the tag is as the format found it (zeros) or as it writes it. */
export function holdsWhatTagSays({ hashes }: FormatTag, beginning: Buffer): boolean {
  return blocksBehindTag(beginning).every((block, index) => {
    const hash = hashes[index];
    return isZero(block) || (hash !== undefined && hashOf(block).equals(hash));
  });
}

const ZEROS = Buffer.alloc(BLANK_BYTES_CHECKED);

/** REQUIRES: at most BLANK_BYTES_CHECKED bytes. */
export function isZero(bytes: Buffer): boolean {
  return bytes.equals(ZEROS.subarray(0, bytes.length));
}

function blocksBehindTag(beginning: Buffer): Buffer[] {
  const count = Math.min(HASH_COUNT, Math.floor(beginning.length / BLOCK_BYTES) - 1);
  return Array.from({ length: count }, (_, index) =>
    beginning.subarray((index + 1) * BLOCK_BYTES, (index + 2) * BLOCK_BYTES),
  );
}

function hashOf(block: Buffer): Buffer {
  return createHash('sha256').update(block).digest().subarray(0, HASH_BYTES);
}

/** SHA-256 of the tag with zeros in the place of the checksum. */
function checksumOf(tag: Buffer): Buffer {
  return createHash('sha256')
    .update(tag.subarray(0, CHECKSUM_OFFSET))
    .update(Buffer.alloc(CHECKSUM_BYTES))
    .update(tag.subarray(CHECKSUM_OFFSET + CHECKSUM_BYTES))
    .digest();
}
