/**
 * A program: counts from 1 in two files in step, until it is ended. Each count is flushed to the first file before it
 * is written to the second, and flushed there before the next; it is said when both hold it.
 */
import { fsyncSync, openSync, writeSync } from 'node:fs';

const COUNT_BYTES = 8;

const files = process.argv.slice(2).map((path) => openSync(path, 'w'));
const bytes = Buffer.alloc(COUNT_BYTES);
for (let count = 1n; ; count += 1n) {
  bytes.writeBigUInt64LE(count);
  for (const file of files) {
    writeSync(file, bytes, 0, COUNT_BYTES, 0);
    fsyncSync(file);
  }
  console.log(String(count));
}
