/**
 * A 4 KiB block that says what it is: which volume and block it was written to and as which write,
 * with a checksum over all of it, so that a block that is torn, misplaced or older shows itself.
 */
import { crc32 } from 'node:zlib';

export const BLOCK_BYTES = 4096;
/** Sequence number of a block that was never written: it reads as zeros. */
export const NEVER_WRITTEN = 0;
const MAGIC = 0x41555242;
const HEADER_BYTES = 20;
const SECTOR_BYTES = 512;
const ZERO_BLOCK = Buffer.alloc(BLOCK_BYTES);

/** `area` is the volume, or the file on it. Layout: magic, crc, area, block, sequence; filled up. */
export function stampedBlock(area: number, block: number, sequence: number): Buffer {
  const bytes = Buffer.alloc(BLOCK_BYTES);
  bytes.writeUInt32BE(MAGIC, 0);
  bytes.writeUInt32BE(area, 8);
  bytes.writeUInt32BE(block, 12);
  bytes.writeUInt32BE(sequence, 16);
  for (let at = HEADER_BYTES; at < BLOCK_BYTES; at += 4) bytes.writeUInt32BE(sequence, at);
  bytes.writeUInt32BE(crc32(bytes.subarray(8)), 4);
  return bytes;
}

/** The sequence number that a block holds; throws for anything that was never written there. */
export function sequenceOf(area: number, block: number, bytes: Buffer): number {
  if (bytes.equals(ZERO_BLOCK)) return NEVER_WRITTEN;
  const where = `area ${area}, block ${block}`;
  if (bytes.readUInt32BE(0) !== MAGIC || bytes.readUInt32BE(4) !== crc32(bytes.subarray(8))) {
    throw new Error(`${where}: torn or not ours: ${describe(bytes)}`);
  }
  const [fromArea, fromBlock] = [bytes.readUInt32BE(8), bytes.readUInt32BE(12)];
  if (fromArea !== area || fromBlock !== block) {
    throw new Error(`${where}: holds what was written to area ${fromArea}, block ${fromBlock}`);
  }
  return bytes.readUInt32BE(16);
}

/** Which writes it is made of, a sector each; what it was filled with says it. */
function describe(bytes: Buffer): string {
  const sectors = Array.from({ length: BLOCK_BYTES / SECTOR_BYTES }, (_, sector) =>
    bytes.readUInt32BE((sector + 1) * SECTOR_BYTES - 4),
  );
  return `header ${bytes.toString('hex', 0, HEADER_BYTES)}, sectors of writes ${sectors.join(' ')}`;
}
