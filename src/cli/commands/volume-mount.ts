import { resolve } from 'node:path';

import type { FileSystemType, VolumeMountBody } from '../../api/types.js';
import { VOLUME } from '../arguments.js';
import { command } from '../command.js';

const FILE_SYSTEMS: readonly FileSystemType[] = ['ext4', 'xfs'];

export const volumeMount = command({
  usage: 'mount <volume> <directory>',
  describe: 'Mount a volume here: attaches it as a device, formats it if it is blank, checks it',
  examples: [
    ['$0 volume mount db /srv/db', 'ext4 if it is blank'],
    ['$0 volume mount db /srv/db --fs xfs --option noatime', 'another file system, an option'],
  ],
  positionals: {
    volume: VOLUME,
    directory: {
      type: 'string',
      demandOption: true,
      normalize: true,
      describe: 'Where: an empty directory, or none yet',
    },
  },
  options: {
    fs: {
      choices: FILE_SYSTEMS,
      requiresArg: true,
      describe: 'What a blank volume is formatted with; ext4 when absent',
    },
    'read-only': { type: 'boolean', default: false, describe: 'Mount it for reading only' },
    option: {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'Mount option, as for mount -o',
    },
  },
  run: async ({ args, api, output }) => {
    const body: VolumeMountBody = { mountPoint: resolve(args.directory) };
    if (args.fs !== undefined) body.fileSystem = args.fs;
    if (args.readOnly) body.readOnly = true;
    if (args.option !== undefined) body.options = args.option;
    const volume = await api.mountVolume(args.volume, body);
    output.done(volume, `mounted volume ${volume.name} at ${body.mountPoint}`);
  },
});
