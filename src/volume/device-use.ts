/** Who uses a volume through its device, and which sessions are the device's own. */
import { AurochsError } from '../core/errors.js';
import { isLocalOnly } from './exports.js';
import type { Volume } from './model.js';
import type { DeviceUsers, EngineSession } from './ports.js';

/** BUSY names the mount points and the devices above. */
export function refuseIfUsed(volume: string, { mountPoints, holders }: DeviceUsers): void {
  if (mountPoints.length === 0 && holders.length === 0) return;
  const uses = [
    ...mountPoints.map((mountPoint) => `mounted at ${mountPoint}`),
    ...holders.map((holder) => `held by ${holder}`),
  ];
  throw new AurochsError(
    'BUSY',
    `volume ${volume}: its device is ${uses.join(', ')}`,
    mountPoints.length > 0
      ? `Unmount it first: aurochs volume unmount ${volume}. Forcing cuts off what has not been written yet.`
      : 'Take down what stands on the device first. Forcing cuts off what has not been written yet.',
  );
}

/**
 * Without the sessions of the volume's device: one over iSCSI, several over NBD, from this machine. Nobody can
 * tell them from those of another local client of that frontend.
 */
export function withoutOwn<T extends EngineSession>(
  sessions: readonly T[],
  { device }: Volume,
): T[] {
  if (device === null) return [...sessions];
  const own = sessions.filter(
    ({ frontend, address }) => frontend === device.frontend && isLocalOnly(address),
  );
  const kernels = new Set(device.frontend === 'iscsi' ? own.slice(0, 1) : own);
  return sessions.filter((session) => !kernels.has(session));
}
