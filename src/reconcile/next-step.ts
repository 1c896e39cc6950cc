/**
 * What to do next for one volume: a function of what is wanted, what the store says and what is open. It does
 * nothing itself. Steps are small, so that a crash between any two leaves a state from which it goes on.
 */
import { isDeepStrictEqual } from 'node:util';

import { copyRests } from '../volume/copy-problem.js';
import { iscsiAccess } from '../volume/exports.js';
import {
  sameForm,
  type Frontend,
  type UnitForm,
  type Volume,
  type VolumeState,
} from '../volume/model.js';
import type { IscsiAccess } from '../volume/ports.js';
import type { DeviceKnowledge, OpenPurpose } from '../volume/open-volumes.js';
import type { CopyPhase } from '../volume/volume-copies.js';

export type Step =
  /** Create the replica's directory; the volume exists then. */
  | { do: 'create' }
  /** Begin the copy of what the volume is made of. */
  | { do: 'startCopy' }
  /** The copy has ended: the volume exists then, or says why not. */
  | { do: 'finishCopy' }
  | { do: 'cancelCopy' }
  /** No copy runs any more, and what was taken for it alone is not needed. */
  | { do: 'giveUpCopy' }
  /** Raise the epoch (W1) and note what it is for. */
  | { do: 'claim'; purpose: OpenPurpose }
  | { do: 'open'; purpose: OpenPurpose }
  | { do: 'expand' }
  | { do: 'export'; frontend: Frontend }
  | { do: 'unexport'; frontend: Frontend }
  /** Tell the iSCSI export who may log in now. */
  | { do: 'setAccess' }
  /** Make the device, or look whether it still is what it should be. */
  | { do: 'attachDevice' }
  | { do: 'growDevice' }
  | { do: 'detachDevice' }
  /** All is as wanted: say so in the store. */
  | { do: 'announce' }
  /** Write down that the replica lost data (D4). */
  | { do: 'noteFailure'; message: string }
  /** Delete the snapshots that nobody needs any more. */
  | { do: 'removeUnwanted' }
  /** See whether a merge still runs; if not, write that down. */
  | { do: 'checkMerges' }
  | { do: 'close' }
  | { do: 'move'; to: VolumeState; why: string }
  /** Remove the replica's directory, then the volume from the store. */
  | { do: 'remove' }
  /** Nothing to do before `againAfterMs` (null: before something changes). */
  | { do: 'rest'; againAfterMs: number | null };

/** What this process has of the volume. */
export interface Live {
  purpose: OpenPurpose;
  form: UnitForm;
  offered: ReadonlySet<Frontend>;
  /** What the iSCSI export was last told about who may log in. */
  access: IscsiAccess | null;
  device: DeviceKnowledge;
  announced: boolean;
  failed: string | null;
  mergeError: string | null;
  /** Copies that read from it. */
  copiedFrom: number;
  idleMs: number;
}

export interface Observed {
  live: Live | null;
  /** This process raised the epoch that the store holds, and has not closed since. */
  claimed: boolean;
  /** The copy that this process makes of what the volume is made of. */
  copy: CopyPhase;
  /** Initiators can come. */
  listening: boolean;
}

/** How long a detached volume stays open after a command, in case another follows. */
export const LINGER_MS = 3_000;

export function nextStep(volume: Volume, observed: Observed): Step {
  const { live } = observed;
  if (live !== null && live.failed !== null && volume.replicas[0]?.failed == null) {
    return { do: 'noteFailure', message: live.failed };
  }
  if (volume.desired.deleted) return towardsDeleted(volume, observed);
  if (volume.state === 'creating') return towardsCreated(volume, observed.copy);
  return volume.desired.attached
    ? towardsAttached(volume, observed)
    : towardsDetached(volume, observed);
}

function towardsCreated(volume: Volume, copy: CopyPhase): Step {
  if (volume.source === null) return { do: 'create' };
  switch (copy) {
    case 'none':
      return copyRests(volume) ? { do: 'rest', againAfterMs: null } : { do: 'startCopy' };
    case 'running':
    case 'cancelled':
      return { do: 'rest', againAfterMs: null };
    case 'ended':
      return { do: 'finishCopy' };
  }
}

function towardsDeleted(volume: Volume, { live, copy }: Observed): Step {
  if (copy === 'running') return { do: 'cancelCopy' };
  if (copy === 'cancelled') return { do: 'rest', againAfterMs: null }; // Its end is told.
  if (live !== null) return { do: 'close' };
  switch (volume.state) {
    case 'deleting':
      return { do: 'remove' };
    case 'attaching':
    case 'attached':
      return { do: 'move', to: 'detaching', why: 'deleted' };
    case 'detaching':
      return { do: 'move', to: 'detached', why: 'deleted' };
    case 'creating':
      if (volume.source !== null) return { do: 'giveUpCopy' };
      return { do: 'move', to: 'deleting', why: 'deleted' };
    case 'detached':
      return { do: 'move', to: 'deleting', why: 'deleted' };
  }
}

function towardsAttached(volume: Volume, observed: Observed): Step {
  const { live, claimed } = observed;
  if (live === null) {
    if (volume.state === 'detaching') {
      return { do: 'move', to: 'detached', why: 'attached again' };
    }
    // A failed replica is opened again only by a detach and an attach that somebody asked for.
    if (volume.replicas[0]?.failed != null) {
      if (volume.state === 'attached') {
        return { do: 'move', to: 'attaching', why: 'its replica lost data' };
      }
      return { do: 'rest', againAfterMs: null };
    }
    if (volume.state !== 'attaching' || !claimed) return { do: 'claim', purpose: 'attach' };
    return { do: 'open', purpose: 'attach' };
  }
  // W3: somebody else has raised the epoch; we must not serve a moment longer.
  if (!claimed) return { do: 'close' };
  if (live.purpose === 'maintenance' || !sameForm(live.form, volume.desired)) {
    return { do: 'close' };
  }
  // Detaching was changed to attaching before it was closed: close, and take the usual way.
  if (volume.state === 'detaching' || volume.state === 'detached') return { do: 'close' };
  if (volume.desired.sizeBytes > volume.sizeBytes) return { do: 'expand' };
  for (const frontend of volume.desired.frontends) {
    if (!live.offered.has(frontend)) return { do: 'export', frontend };
  }
  for (const frontend of live.offered) {
    if (!volume.desired.frontends.includes(frontend)) return { do: 'unexport', frontend };
  }
  if (live.offered.has('iscsi') && !isDeepStrictEqual(live.access, iscsiAccess(volume))) {
    return { do: 'setAccess' };
  }
  if (volume.state !== 'attached' || !live.announced) return { do: 'announce' };
  const device = towardsDevice(volume, live);
  if (device !== null && observed.listening) return device;
  // Not where data was lost: a merge would take for durable what the disk has lost (D4).
  const isWhole = volume.replicas[0]?.failed == null;
  if (volume.unwanted.length > 0 && isWhole) return { do: 'removeUnwanted' };
  return volume.merging ? { do: 'checkMerges' } : { do: 'rest', againAfterMs: null };
}

/** Null when the device is as wanted. It comes last and goes first: it needs what it is made of. */
function towardsDevice(volume: Volume, live: Live): Step | null {
  if (volume.desired.device === null) {
    const none = volume.device === null && live.device === 'unknown';
    return none ? null : { do: 'detachDevice' };
  }
  if (volume.device === null || live.device !== 'sound') return { do: 'attachDevice' };
  return volume.device.sizeBytes < volume.sizeBytes ? { do: 'growDevice' } : null;
}

/** Whether there may be a device: it is written down, or an attach that may have been interrupted asked for it. */
function mayHaveDevice(volume: Volume, live: Live | null): boolean {
  return (
    volume.desired.device !== null ||
    volume.device !== null ||
    (live !== null && live.device !== 'unknown')
  );
}

function towardsDetached(volume: Volume, observed: Observed): Step {
  const { live, claimed } = observed;
  switch (volume.state) {
    case 'attaching':
    case 'attached':
      if (mayHaveDevice(volume, live)) return { do: 'detachDevice' };
      return { do: 'move', to: 'detaching', why: 'detached' };
    case 'detaching':
      if (live !== null) return { do: 'close' };
      return { do: 'move', to: 'detached', why: 'detached' };
    default:
      break;
  }
  if (live?.purpose === 'attach') return { do: 'close' };
  // Opened again, a merge would take for durable what the disk has lost (D4): not before somebody asked.
  if (volume.replicas[0]?.failed != null) {
    return live === null ? { do: 'rest', againAfterMs: null } : { do: 'close' };
  }
  const grows = volume.desired.sizeBytes > volume.sizeBytes;
  if (live === null) {
    const isNeeded = grows || volume.merging || volume.unwanted.length > 0;
    if (!isNeeded) return { do: 'rest', againAfterMs: null };
    return claimed
      ? { do: 'open', purpose: 'maintenance' }
      : { do: 'claim', purpose: 'maintenance' };
  }
  if (grows) return { do: 'expand' };
  if (volume.unwanted.length > 0) return { do: 'removeUnwanted' };
  // Opening again resumes the merge; it would end the copies.
  if (live.mergeError !== null && live.copiedFrom === 0) return { do: 'close' };
  if (volume.merging) return { do: 'checkMerges' };
  if (live.copiedFrom > 0) return { do: 'rest', againAfterMs: null };
  if (live.idleMs < LINGER_MS) return { do: 'rest', againAfterMs: LINGER_MS - live.idleMs };
  return { do: 'close' };
}
