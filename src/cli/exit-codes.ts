/** The only place where our errors become exit codes; docs/cli.md lists them for users. */
import type { ErrorCode } from '../core/errors.js';

export const EXIT_OK = 0;

/** The type makes the table complete: a new ErrorCode fails to compile here. */
export const EXIT_CODES: Record<ErrorCode, number> = {
  INTERNAL: 1,
  INVALID_ARGUMENT: 2,
  OUT_OF_RANGE: 3,
  NOT_FOUND: 4,
  ALREADY_EXISTS: 5,
  PERMISSION_DENIED: 6,
  READ_ONLY: 7,
  NO_SPACE: 8,
  LIMIT_EXCEEDED: 9,
  FAILED_PRECONDITION: 10,
  BUSY: 11,
  UNAVAILABLE: 12,
  ABORTED: 13,
  UNSUPPORTED: 14,
  STALE_EPOCH: 15,
  MISCOMPARE: 16,
  CORRUPTION: 17,
  IO: 18,
  CONFLICT: 19,
};

/** What `aurochs --help` ends with. */
export function exitCodesSummary(): string {
  const entries = Object.entries(EXIT_CODES).map(([code, exit]) => `${exit} ${code}`);
  return `Exit codes: ${[`${EXIT_OK} done`, ...entries].join(', ')}.`;
}
