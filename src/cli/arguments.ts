/** Arguments that several commands take. Their names tell shell completion what to offer. */

export const VOLUME = {
  type: 'string',
  demandOption: true,
  describe: 'Name of the volume',
} as const;

export const SNAPSHOT = {
  type: 'string',
  demandOption: true,
  describe: 'Name or id of the snapshot',
} as const;

export const GROUP = {
  type: 'string',
  demandOption: true,
  describe: 'Name or id of the group',
} as const;

/** An option that may be given several times. */
export function several(describe: string) {
  return { type: 'string', array: true, requiresArg: true, describe } as const;
}

export const SIZE = {
  type: 'string',
  demandOption: true,
  requiresArg: true,
  describe: 'Size: 512MiB, 10GiB, 1.5T or a number of bytes',
} as const;

/** Of commands that lose something. */
export const YES = { type: 'boolean', alias: 'y', default: false, describe: 'Do not ask' } as const;
