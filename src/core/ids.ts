/** Identifiers: random UUIDs, and the serial numbers that initiators see. */
import { createHash, randomUUID } from 'node:crypto';

export function newId(): string {
  return randomUUID();
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function isId(text: string): boolean {
  return UUID.test(text);
}

/** The first eight hex digits, for names of directories. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}

/**
 * 16 hex digits that never change for a volume: its SCSI serial number. The logical unit derives its NAA
 * designator from it, and multipath and udev know the disk by that.
 */
export function serialOf(volumeId: string): string {
  return createHash('sha256').update(volumeId).digest('hex').slice(0, 16);
}
