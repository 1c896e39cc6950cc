import { strict as assert } from 'node:assert';
import { type AurochsError, hasCode, type ErrorCode } from '../../src/core/errors.js';

/** Fails unless the promise rejects with that code, and message or hint match. */
export async function rejectsWith(
  code: ErrorCode,
  promise: Promise<unknown>,
  message: RegExp = /./,
): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(hasCode(error, code), `expected ${code}, got ${String(error)}`);
    assert.match(`${String(error)} ${(error as AurochsError).hint ?? ''}`, message);
    return true;
  });
}
