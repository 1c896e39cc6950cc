import { resolve } from 'node:path';

import type { VolumeUnmountBody } from '../../api/types.js';
import { VOLUME } from '../arguments.js';
import { command } from '../command.js';

export const volumeUnmount = command({
  usage: 'unmount <volume> [directory]',
  describe: 'Unmount a volume; it stays attached',
  examples: [
    ['$0 volume unmount db', 'from everywhere it is mounted'],
    ['$0 volume unmount db /srv/db', 'from one place'],
  ],
  positionals: {
    volume: VOLUME,
    directory: { type: 'string', normalize: true, describe: 'From where; everywhere when absent' },
  },
  options: {},
  run: async ({ args, api, output }) => {
    const body: VolumeUnmountBody = {};
    if (args.directory !== undefined) body.mountPoint = resolve(args.directory);
    await api.unmountVolume(args.volume, body);
    const done = { volume: args.volume, unmounted: true };
    output.done(done, `unmounted volume ${args.volume}`);
  },
});
