/** What the two ways of making a device have in common; HostDevices is written against this. */
import type { ErrorCode } from '../core/errors.js';
import type { DeviceRequest } from '../volume/ports.js';

/** Why this kind cannot be used on this machine now. */
export interface Obstacle {
  code: ErrorCode;
  message: string;
  hint: string;
}

export interface MadeDevice {
  /** "sda", "nbd0" */
  name: string;
  /** False when it was there from before. */
  created: boolean;
}

export interface DeviceKind {
  obstacle(): Promise<Obstacle | null>;
  /** Kernel name of the volume's device; null when there is none. */
  find(volume: string): Promise<string | null>;
  /** The device has been verified to be this volume; what failed has been undone. */
  attach(request: DeviceRequest): Promise<MadeDevice>;
  /** Device, session, record, whatever there is of them, whoever uses it. Idempotent. */
  remove(volume: string): Promise<void>;
  /** Makes the kernel ask for the size, or tells it. */
  resize(volume: string, name: string, sizeBytes: bigint): Promise<void>;
}
