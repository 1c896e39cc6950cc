/**
 * Writes to a volume and knows what it may hold: every 4 KiB block carries its offset, a sequence
 * number and a checksum. A block must hold what was acknowledged last, or what was in flight after it
 * when the connection broke; anything else is lost or torn data.
 */
import { crc32 } from 'node:zlib';

import type { NbdConnection } from './nbd-connection.js';
import { NBD_FLAG_FUA, NBD_FLAG_NO_HOLE } from './nbd-connection.js';
import type { Random } from './random.js';

export const BLOCK_BYTES = 4096;
const BLOCKS_PER_REQUEST_MAX = 16;
const READ_BYTES = 1024 * 1024;
const MAGIC = 0x41555242;
/** Sequence number of a block that reads as zeros. */
const ZEROS = 0;

export class WriteLoad {
  acknowledged = 0;
  readonly #blocks: number;
  readonly #last: Uint32Array;
  /** What was sent and not answered; at most one request touches a block at a time. */
  readonly #maybe = new Map<number, number>();
  #sequence = ZEROS;

  constructor(
    sizeBytes: number,
    private readonly random: Random,
  ) {
    this.#blocks = sizeBytes / BLOCK_BYTES;
    this.#last = new Uint32Array(this.#blocks);
  }

  /** Keeps `depth` requests in flight until the connection ends or `signal` is aborted. */
  async run(connection: NbdConnection, depth: number, signal: AbortSignal): Promise<void> {
    const worker = async (): Promise<void> => {
      while (!signal.aborted) await this.#writeOnce(connection);
    };
    await Promise.all(Array.from({ length: depth }, () => worker().catch(() => undefined)));
  }

  /** Reads everything, throws at the first block that the rules do not allow, and takes it as it is. */
  async verify(connection: NbdConnection): Promise<void> {
    const perRead = READ_BYTES / BLOCK_BYTES;
    for (let first = 0; first < this.#blocks; first += perRead) {
      const count = Math.min(perRead, this.#blocks - first);
      const data = await connection.request('read', first * BLOCK_BYTES, count * BLOCK_BYTES);
      for (let i = 0; i < count; i += 1) {
        const bytes = data.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
        this.#judge(first + i, readBlock(first + i, bytes));
      }
    }
    this.#maybe.clear();
  }

  #judge(block: number, found: number): void {
    const last = this.#last[block] ?? ZEROS;
    const maybe = this.#maybe.get(block);
    if (found !== last && found !== maybe) {
      const inFlight = maybe === undefined ? 'nothing was in flight' : `${maybe} was in flight`;
      throw new Error(
        `block ${block}: holds write ${found}, but ${last} was acknowledged and ${inFlight}`,
      );
    }
    this.#last[block] = found;
  }

  async #writeOnce(connection: NbdConnection): Promise<void> {
    const count = 1 + this.random.below(BLOCKS_PER_REQUEST_MAX);
    const first = this.random.below(this.#blocks - count);
    const blocks = Array.from({ length: count }, (_, i) => first + i);
    if (blocks.some((block) => this.#maybe.has(block))) {
      await new Promise((resolve) => setImmediate(resolve)); // Another worker is there: choose anew.
      return;
    }
    const zero = this.random.chance(0.25);
    const contents = blocks.map(() => (zero ? ZEROS : (this.#sequence += 1)));
    blocks.forEach((block, i) => this.#maybe.set(block, contents[i] ?? ZEROS));
    await (zero
      ? this.#writeZeroes(connection, first, count)
      : this.#writeData(connection, first, contents));
    blocks.forEach((block, i) => {
      this.#last[block] = contents[i] ?? ZEROS;
      this.#maybe.delete(block);
    });
    this.acknowledged += 1;
    if (this.random.chance(0.05)) await connection.request('flush', 0, 0);
  }

  async #writeZeroes(connection: NbdConnection, first: number, count: number): Promise<void> {
    const flags = this.random.chance(0.5) ? NBD_FLAG_NO_HOLE : 0;
    const [offset, length] = [first * BLOCK_BYTES, count * BLOCK_BYTES];
    await connection.request('writeZeroes', offset, length, { flags });
  }

  async #writeData(
    connection: NbdConnection,
    first: number,
    contents: readonly number[],
  ): Promise<void> {
    const data = Buffer.concat(contents.map((sequence, i) => makeBlock(first + i, sequence)));
    const flags = this.random.chance(0.1) ? NBD_FLAG_FUA : 0;
    await connection.request('write', first * BLOCK_BYTES, data.length, { data, flags });
  }
}

/** Magic, checksum of all that follows, block number, sequence number, filling that depends on it. */
function makeBlock(block: number, sequence: number): Buffer {
  const bytes = Buffer.alloc(BLOCK_BYTES, sequence & 0xff);
  bytes.writeUInt32BE(MAGIC, 0);
  bytes.writeUInt32BE(block, 8);
  bytes.writeUInt32BE(sequence, 12);
  bytes.writeUInt32BE(crc32(bytes.subarray(8)), 4);
  return bytes;
}

const ZERO_BLOCK = Buffer.alloc(BLOCK_BYTES);

/** The sequence number that the block holds. */
function readBlock(block: number, bytes: Buffer): number {
  if (bytes.equals(ZERO_BLOCK)) return ZEROS;
  if (bytes.readUInt32BE(0) !== MAGIC || bytes.readUInt32BE(4) !== crc32(bytes.subarray(8))) {
    throw new Error(`block ${block} is torn or not ours: ${bytes.toString('hex', 0, 16)}`);
  }
  if (bytes.readUInt32BE(8) !== block) {
    throw new Error(`block ${block} holds what was written to block ${bytes.readUInt32BE(8)}`);
  }
  return bytes.readUInt32BE(12);
}
