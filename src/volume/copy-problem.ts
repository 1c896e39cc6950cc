/** What a problem means for a volume that is being made of another. */
import type { ErrorCode } from '../core/errors.js';
import type { Volume } from './model.js';

/** These pass by themselves: the source was closed or is not open yet, or somebody else was faster. */
const PASSING: readonly ErrorCode[] = ['ABORTED', 'UNAVAILABLE', 'BUSY'];

/**
 * Whether the copy has failed for a reason that stays, so that it is not begun anew: it would fill a full disk again and
 * again. Somebody has to delete the volume.
 */
export function copyRests({ state, source, problem }: Volume): boolean {
  return (
    state === 'creating' && source !== null && problem !== null && !PASSING.includes(problem.code)
  );
}

export function isCopying(volume: Volume): boolean {
  const { state, source, desired } = volume;
  return state === 'creating' && source !== null && !desired.deleted && !copyRests(volume);
}
