import { AurochsError } from './errors.js';

/** Asserts what our own code promises; stays on in production. What others say is validated instead. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AurochsError('INTERNAL', `broken invariant: ${message}`);
}

/** For the end of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AurochsError('INTERNAL', `broken invariant: unexpected ${JSON.stringify(value)}`);
}
