/** What the tests of the addon share. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadBinding } from '../../../src/native/binding.js';
import type { NativeEvent, NativeHost, NativeVolume } from '../../../src/native/binding-types.js';

export const MIB = 1024n * 1024n;
export const SIZE_BYTES = 16n * MIB;

export function createHost(onEvent: (event: NativeEvent) => void = () => {}): NativeHost {
  return loadBinding().createHost({ loops: 2, ioBackend: 'auto', lockMemory: false }, onEvent);
}

export class TempDisk {
  readonly path = mkdtempSync(join(tmpdir(), 'aurochs-addon-'));

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export async function createAndOpen(
  host: NativeHost,
  disk: string,
  name = 'replica',
  epoch = 1n,
): Promise<NativeVolume> {
  const sizeBytes = SIZE_BYTES;
  await host.createReplica(disk, name, {
    volumeId: `v-${name}`,
    replicaId: `r-${name}`,
    sizeBytes,
  });
  return host.openVolume(disk, name, epoch);
}

export function exportNbd(volume: NativeVolume, name: string): Promise<void> {
  return volume.exportNbd({ name, description: '', readOnly: false });
}

/** How many descriptors this process has. */
export function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** How many data-path loops run. (The pool of workers grows and stays; it belongs to no host.) */
export function loops(): number {
  const names = readdirSync('/proc/self/task').map((thread) => {
    try {
      return readFileSync(`/proc/self/task/${thread}/comm`, 'utf8');
    } catch {
      return ''; // It has ended.
    }
  });
  return names.filter((name) => name.startsWith('aurochs-io')).length;
}

/** Rejects with exactly this code. */
export function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof Error && 'code' in error && error.code === code;
}

/** Waits for a condition that something else brings about. */
export async function until(what: string, condition: () => boolean, timeoutMs = 20_000) {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`in ${timeoutMs} ms there was no ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
