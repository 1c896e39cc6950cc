import { resolve } from 'node:path';

import { formatSize } from '../../core/units.js';
import { several } from '../arguments.js';
import { command } from '../command.js';

export const diskAdd = command({
  usage: 'add <path>',
  describe: 'Let a directory hold replicas; it is probed for what they need',
  examples: [
    ['$0 disk add /srv/fast', 'a directory on ext4 or xfs'],
    ['$0 disk add /srv/fast --tag ssd', 'with a tag'],
  ],
  positionals: {
    path: {
      type: 'string',
      demandOption: true,
      normalize: true,
      describe: 'Directory on this machine',
    },
  },
  options: { tag: several('Word that volumes can ask for with --disk-tag') },
  run: async ({ args, api, output }) => {
    const disk = await api.addDisk({
      path: resolve(args.path),
      ...(args.tag === undefined ? {} : { tags: args.tag }),
    });
    const free = formatSize(BigInt(disk.freeBytes));
    output.done(disk, `added disk ${disk.id}: ${disk.path}, ${disk.fileSystem}, ${free} free`);
  },
});
