/**
 * Every error of Aurochs is one of this closed list; the first part is shared with the native
 * core (native/base/status.h), by name. Each edge (HTTP status, exit code, gRPC status) translates
 * it in one table whose type makes it complete. docs/errors.md explains each to a user.
 */
export const ERROR_CODES = [
  'INVALID_ARGUMENT',
  'OUT_OF_RANGE',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'READ_ONLY',
  'NO_SPACE',
  'LIMIT_EXCEEDED',
  'FAILED_PRECONDITION',
  'BUSY',
  'UNAVAILABLE',
  'ABORTED',
  'UNSUPPORTED',
  'STALE_EPOCH',
  'MISCOMPARE',
  'CORRUPTION',
  'IO',
  'CONFLICT', // An update carried a revision that is not the newest.
  'INTERNAL', // A bug of ours.
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** An error for a person: `message` names the thing, `hint` the next step. */
export class AurochsError extends Error {
  override readonly name = 'AurochsError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly hint?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** What was thrown, as one of ours: foreign errors become INTERNAL, as nobody foresaw them. */
export function toAurochsError(thrown: unknown): AurochsError {
  if (thrown instanceof AurochsError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new AurochsError('INTERNAL', message, undefined, { cause: thrown });
}

export function hasCode(thrown: unknown, code: ErrorCode): boolean {
  return thrown instanceof AurochsError && thrown.code === code;
}

const PASSING: ReadonlySet<ErrorCode> = new Set(['ABORTED', 'BUSY', 'CONFLICT', 'UNAVAILABLE']);

/** Whether what failed with that code may well work a moment later, with nobody doing anything about it. */
export function passesByItself(code: ErrorCode): boolean {
  return PASSING.has(code);
}

export function isErrorCode(text: string): text is ErrorCode {
  return (ERROR_CODES as readonly string[]).includes(text);
}
