/** What a problem means for a volume that is being made of another. */
import { passesByItself } from '../core/errors.js';
import type { Volume } from './model.js';

/**
 * Whether the copy has failed for a reason that stays, so that it is not begun anew: it would fill a full disk again and
 * again. Somebody has to delete the volume. A source that was closed, or is not open yet, is no such reason.
 */
export function copyRests({ state, source, problem }: Volume): boolean {
  return (
    state === 'creating' && source !== null && problem !== null && !passesByItself(problem.code)
  );
}

export function isCopying(volume: Volume): boolean {
  const { state, source, desired } = volume;
  return state === 'creating' && source !== null && !desired.deleted && !copyRests(volume);
}
