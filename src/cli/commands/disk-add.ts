import { resolve } from 'node:path';

import { formatSize } from '../../core/units.js';
import { command } from '../command.js';

export const diskAdd = command({
  usage: 'add <path>',
  describe: 'Let a directory hold replicas; it is probed for what they need',
  examples: [['$0 disk add /srv/fast', 'a directory on ext4 or xfs']],
  positionals: {
    path: {
      type: 'string',
      demandOption: true,
      normalize: true,
      describe: 'Directory on this machine',
    },
  },
  options: {},
  run: async ({ args, api, output }) => {
    const disk = await api.addDisk({ path: resolve(args.path) });
    const free = formatSize(BigInt(disk.freeBytes));
    output.done(disk, `added disk ${disk.id}: ${disk.path}, ${disk.fileSystem}, ${free} free`);
  },
});
