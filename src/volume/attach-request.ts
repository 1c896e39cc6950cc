/** What an attach asks for, and what it makes of a volume's wishes. */
import { AurochsError } from '../core/errors.js';
import { FRONTENDS, FRONTEND_WORD, refusalToExport, type ListenAddresses } from './exports.js';
import {
  type DeviceFrontend,
  formOf,
  type Frontend,
  PLAIN_FORM,
  sameForm,
  type UnitForm,
  type Volume,
} from './model.js';

export interface AttachVolume extends Partial<UnitForm> {
  /** What the volume is offered through. */
  frontends?: Frontend[];
  /** A block device of this machine besides, through this frontend. */
  device?: { frontend: DeviceFrontend };
}

/** What is wanted of the volume once the request is granted; throws why it is not. */
export function wishToAttach(
  volume: Volume,
  request: AttachVolume,
  listen: ListenAddresses,
): Volume['desired'] {
  const { desired } = volume;
  const form = formOf({ ...(desired.attached ? formOf(desired) : PLAIN_FORM), ...request });
  const frontends = wantedFrontends(volume, request, listen);
  for (const frontend of frontends) {
    const refusal = refusalToExport(volume, frontend, listen);
    if (refusal !== null) throw refusal;
  }
  if (desired.attached && !sameForm(desired, form)) {
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${volume.name} is attached ${formInWords(desired)}`,
      'Detach it first.',
    );
  }
  const device = wantedDevice(volume, request);
  const over = volume.device?.frontend ?? device?.frontend ?? 'auto';
  if (device !== null && over !== 'auto' && !frontends.includes(over)) {
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${volume.name}: its device comes over ${FRONTEND_WORD[over]}, which is not among the frontends asked for`,
      `Name ${over} too, or detach the volume first.`,
    );
  }
  return { ...desired, ...form, attached: true, frontends, device };
}

/**
 * A device needs only its own frontend and takes none away; without a device and a wish it is every frontend
 * that this agent offers and that the volume may use.
 */
function wantedFrontends(
  volume: Volume,
  request: AttachVolume,
  listen: ListenAddresses,
): Frontend[] {
  if (request.frontends?.length === 0) {
    throw new AurochsError(
      'INVALID_ARGUMENT',
      `volume ${volume.name}: no frontend to attach it with`,
      'Name iscsi, nbd or both.',
    );
  }
  if (request.frontends !== undefined) return [...request.frontends];
  if (request.device !== undefined) {
    const { frontend } = request.device;
    const own = frontend === 'auto' ? [] : [frontend];
    if (volume.desired.attached) return [...new Set([...volume.desired.frontends, ...own])];
    if (own.length > 0) return own;
  }
  const usable = FRONTENDS.filter((each) => refusalToExport(volume, each, listen) === null);
  return [...(usable.length > 0 ? usable : FRONTENDS)]; // All refused: the refusal says why.
}

function wantedDevice(volume: Volume, request: AttachVolume): Volume['desired']['device'] {
  const before = volume.desired.attached ? volume.desired.device : null;
  const { device } = request;
  if (device === undefined) return before;
  if (before === null || volume.device === null) return { frontend: device.frontend };
  if (device.frontend === 'auto' || device.frontend === volume.device.frontend) return before;
  throw new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${volume.name} has a device over ${FRONTEND_WORD[volume.device.frontend]} already`,
    'Detach it first, or leave the frontend to what it is.',
  );
}

function formInWords({ readOnly, removable, provisioning }: UnitForm): string {
  const words = [readOnly ? 'read-only' : 'for writing'];
  if (removable) words.push('removable');
  if (provisioning === 'full') words.push('fully provisioned');
  return words.join(', ');
}
