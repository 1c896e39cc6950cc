/** What a volume cannot be asked for in the state it is in, as errors for a person. */
import { AurochsError } from '../core/errors.js';
import type { Volume } from './model.js';

export function refuseIfDeleted(volume: Volume): void {
  if (!volume.desired.deleted) return;
  throw new AurochsError('FAILED_PRECONDITION', `volume ${volume.name} is being deleted`);
}

export function refuseIfCreating(volume: Volume): void {
  if (volume.state !== 'creating') return;
  throw new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${volume.name} is still being created`,
    'Try again in a moment.',
  );
}

export function refuseIfPublished({ name, publications }: Volume): void {
  if (publications.length === 0) return;
  const nodes = publications.map(({ nodeId }) => nodeId);
  throw new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${name} is published to node ${nodes.join(', ')}`,
    `Unpublish it first: aurochs volume unpublish ${name}`,
  );
}

/** Why the volume is not as somebody waited for it to be. */
export function problemOf(volume: Volume, what: string): AurochsError {
  const { problem } = volume;
  if (problem === null) {
    return new AurochsError('ABORTED', `volume ${volume.name} ${what}: somebody else changed it`);
  }
  return new AurochsError(problem.code, problem.message, problem.hint);
}
