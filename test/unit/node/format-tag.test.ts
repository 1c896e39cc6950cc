import assert from 'node:assert/strict';
import fc from 'fast-check';

import { BLANK_BYTES_CHECKED } from '../../../src/core/limits.js';
import {
  BLOCK_BYTES,
  decodeTag,
  encodeTag,
  HASH_COUNT,
  holdsWhatTagSays,
  isZero,
} from '../../../src/node/format-tag.js';
import { Random } from '../../support/random.js';

const ID = '6ba94b84-7378-43fa-a9e5-910cbe4d5212';

describe('the tag of a format that has begun', () => {
  const random = Random.fromEnvironment();
  const beginning = random.bytes(BLANK_BYTES_CHECKED);
  beginning.fill(0, 20 * BLOCK_BYTES, 40 * BLOCK_BYTES);
  const tag = encodeTag(ID, beginning);
  const decoded = decodeTag(tag);

  before(() => console.log(`      seed ${random.seed}`));

  it('is one block that says whose it is', () => {
    assert.equal(tag.length, BLOCK_BYTES);
    assert.equal(decoded?.volumeId, ID);
    assert.equal(decoded?.hashes.length, HASH_COUNT);
    const ids = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 64 });
    fc.assert(fc.property(ids, (id) => decodeTag(encodeTag(id, beginning))?.volumeId === id));
    assert.throws(() => encodeTag('x'.repeat(65), beginning), RangeError);
  });

  it('is none when any bit of it is another, or a part is missing', () => {
    const bit = fc.nat({ max: BLOCK_BYTES * 8 - 1 });
    fc.assert(
      fc.property(bit, (at) => {
        const damaged = Buffer.from(tag);
        damaged[at >> 3] = (damaged[at >> 3] ?? 0) ^ (1 << (at & 7));
        return decodeTag(damaged) === null;
      }),
    );
    fc.assert(fc.property(fc.nat({ max: BLOCK_BYTES - 1 }), (n) => !decodeTag(tag.subarray(0, n))));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 8192 }), (b) => !decodeTag(Buffer.from(b))));
  });

  it('accepts each block as it is written or as zeros, in any mixture', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 256, maxLength: 256 }), (written) => {
        const device = Buffer.from(beginning);
        written.forEach((is, i) => {
          if (!is) device.fill(0, i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
        });
        return decoded !== null && holdsWhatTagSays(decoded, device);
      }),
      { numRuns: 20 },
    );
  });

  it('refuses a single byte that somebody else has written behind it', () => {
    const position = fc.integer({ min: BLOCK_BYTES, max: BLANK_BYTES_CHECKED - 1 });
    fc.assert(
      fc.property(position, fc.integer({ min: 1, max: 255 }), (at, change) => {
        const device = Buffer.from(beginning);
        device[at] = (device[at] ?? 0) ^ change;
        const block = Math.floor(at / BLOCK_BYTES) * BLOCK_BYTES;
        const zero = isZero(device.subarray(block, block + BLOCK_BYTES));
        return decoded !== null && (zero || !holdsWhatTagSays(decoded, device));
      }),
    );
  });
});
