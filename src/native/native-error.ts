import { AurochsError, ERROR_CODES, type ErrorCode } from '../core/errors.js';

/** What the addon throws and rejects with: an Error with the name of a native ErrorCode. */
function codeOf(error: unknown): ErrorCode | undefined {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return ERROR_CODES.find((known) => known === code);
}

/** The only translation of an error of the addon. One it does not know is a bug of ours. */
export function toAurochsError(error: unknown): AurochsError {
  if (error instanceof AurochsError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new AurochsError(codeOf(error) ?? 'INTERNAL', message, undefined, { cause: error });
}

/** Waits for a call of the addon; it fails with an AurochsError. */
export async function translated<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw toAurochsError(error);
  }
}
