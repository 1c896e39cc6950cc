/** What a guest tells the host, one JSON document a line, through a virtio-serial port. */
import { openSync, readFileSync, readdirSync, writeSync } from 'node:fs';

export type GuestMessage =
  | { type: 'booted' }
  | {
      type: 'test';
      title: string;
      state: 'passed' | 'failed' | 'skipped';
      ms: number;
      error: string;
    }
  /** For whoever reads the run: a figure, a seed. */
  | { type: 'note'; text: string }
  /** What a host's part of a spec has agreed on with its guest. */
  | { type: 'record'; record: unknown }
  /** The task has ended; `error` is empty when it ended well. */
  | { type: 'ended'; error: string };

/** What a guest is booted for. */
export interface GuestTask {
  /** Compiled module: a mocha file, or one whose default export is a function. */
  module: string;
  kind: 'specs' | 'program';
  /** What the function gets. */
  argument: unknown;
}

export const PORT_NAME = 'aurochs';
const PORTS = '/sys/class/virtio-ports';
let port: number | null = null;

/** Without udev nothing links the name of a port to its device. */
function openPort(): number {
  for (const device of readdirSync(PORTS)) {
    if (readFileSync(`${PORTS}/${device}/name`, 'utf8').trim() !== PORT_NAME) continue;
    return openSync(`/dev/${device}`, 'r+');
  }
  throw new Error(`no port ${PORT_NAME} below ${PORTS}`);
}

/** In the guest. Returns when the host's side has taken it, so a power cut cannot take it back. */
export function tellHost(message: GuestMessage): void {
  port ??= openPort();
  const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let sent = 0; sent < bytes.length;) sent += writeSync(port, bytes, sent);
}

export function note(text: string): void {
  tellHost({ type: 'note', text });
}
