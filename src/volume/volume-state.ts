/** Which moves a volume's state may make; the only function that makes one. */
import { invariant } from '../core/invariant.js';
import type { Volume, VolumeState } from './model.js';

/** Where each state may go. Anything else is a bug, not an event. */
export const NEXT_STATE: Readonly<Record<VolumeState, readonly VolumeState[]>> = {
  creating: ['detached', 'deleting'], // Deleting: the creation failed or was given up.
  detached: ['attaching', 'deleting'],
  attaching: ['attached', 'detaching'], // A failed attach is undone by detaching.
  attached: ['detaching', 'attaching'], // Attaching: the agent restarted and opens it again.
  detaching: ['detached'],
  deleting: [],
};

/** The same volume in state `next`. */
export function moveTo(volume: Volume, next: VolumeState): Volume {
  if (volume.state === next) return volume;
  invariant(
    NEXT_STATE[volume.state].includes(next),
    `volume ${volume.name}: ${volume.state} -> ${next}`,
  );
  return { ...volume, state: next };
}
