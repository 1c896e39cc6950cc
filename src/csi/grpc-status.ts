/**
 * The only place where our errors become gRPC codes. A conflict of the moment is ABORTED, for which callers try again
 * soon; where the specification wants another code for one call, that call throws another error.
 */
import { status } from '@grpc/grpc-js';

import type { AurochsError, ErrorCode } from '../core/errors.js';

// The type makes the table complete: a new ErrorCode fails to compile here.
export const GRPC_STATUS: Readonly<Record<ErrorCode, status>> = {
  INVALID_ARGUMENT: status.INVALID_ARGUMENT,
  OUT_OF_RANGE: status.OUT_OF_RANGE,
  NOT_FOUND: status.NOT_FOUND,
  ALREADY_EXISTS: status.ALREADY_EXISTS,
  PERMISSION_DENIED: status.PERMISSION_DENIED,
  READ_ONLY: status.FAILED_PRECONDITION,
  NO_SPACE: status.RESOURCE_EXHAUSTED,
  LIMIT_EXCEEDED: status.RESOURCE_EXHAUSTED,
  FAILED_PRECONDITION: status.FAILED_PRECONDITION,
  BUSY: status.ABORTED,
  UNAVAILABLE: status.UNAVAILABLE,
  ABORTED: status.ABORTED,
  // UNIMPLEMENTED would say that the driver lacks the call; it is the machine that lacks something.
  UNSUPPORTED: status.FAILED_PRECONDITION,
  STALE_EPOCH: status.FAILED_PRECONDITION,
  MISCOMPARE: status.INTERNAL,
  CORRUPTION: status.DATA_LOSS,
  IO: status.INTERNAL,
  CONFLICT: status.ABORTED,
  INTERNAL: status.INTERNAL,
};

/** What the caller reads: what is wrong, and the next step. */
export function detailsOf({ message, hint }: AurochsError): string {
  return hint === undefined ? message : `${message}. ${hint}`;
}
