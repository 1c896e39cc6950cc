/** The only place where our errors become HTTP statuses; docs/errors.md repeats it for people. */
import type { ErrorCode } from '../core/errors.js';

// The type makes the table complete: a new ErrorCode fails to compile here.
export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  INVALID_ARGUMENT: 400,
  OUT_OF_RANGE: 400,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  READ_ONLY: 409,
  NO_SPACE: 507,
  LIMIT_EXCEEDED: 429,
  FAILED_PRECONDITION: 412,
  BUSY: 423,
  UNAVAILABLE: 503,
  ABORTED: 409,
  UNSUPPORTED: 501,
  STALE_EPOCH: 409,
  MISCOMPARE: 409,
  CORRUPTION: 500,
  IO: 500,
  CONFLICT: 409,
  INTERNAL: 500,
};
