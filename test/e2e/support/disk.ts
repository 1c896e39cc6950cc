/** The disk of a guest: an image file below build/e2e that outlives it. */
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync } from 'node:fs';

export interface Disk {
  /** Value of qemu's -drive. */
  drive: string;
}

/** A sparse image with an empty ext4 on it, made here because it takes a guest much longer. */
export function createDisk(path: string, sizeBytes: number): Disk {
  const image = openSync(path, 'w');
  ftruncateSync(image, sizeBytes);
  closeSync(image);
  execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'assume_storage_prezeroed=1', path]);
  return { drive: `file=${path},format=raw,if=virtio,cache=writeback,discard=unmap` };
}
