/** What the two halves of the power-cut spec say to each other. */

export const RAW_VOLUME = 'raw';
export const FILES_VOLUME = 'files';
export const RAW_BLOCKS = 4096;
export const FILES = 16;
export const FILE_BLOCKS = 64;
/** Area 0 is the raw device; the files follow. */
export const AREAS = 1 + FILES;

export function blocksOf(area: number): number {
  return area === 0 ? RAW_BLOCKS : FILE_BLOCKS;
}

export interface PowerCutTask {
  /** The first boot creates the volumes and the file system. */
  create: boolean;
  /** The last one only looks. */
  load: boolean;
  seed: number;
  /** Every write has a higher number than all before. */
  firstSequence: number;
  /** How the raw volume becomes a device; the other takes the other way. */
  rawOver: 'iscsi' | 'nbd';
}

export type PowerCutRecord =
  /** What every block of an area holds after the boot. */
  | { type: 'found'; area: number; sequences: number[] }
  | { type: 'loading' }
  /** These writes were made and a flush after them has returned. */
  | { type: 'flushed'; area: number; blocks: [block: number, sequence: number][] }
  | { type: 'snapshot'; taken: number; deleted: number };
