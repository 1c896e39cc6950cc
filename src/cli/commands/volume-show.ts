import { VOLUME } from '../arguments.js';
import { command } from '../command.js';
import { printAddresses, volumeFields } from '../volume-view.js';

export const volumeShow = command({
  usage: 'show <volume>',
  describe: 'Show one volume, and how to reach it while it is attached',
  examples: [['$0 volume show db', 'state, replicas, addresses']],
  positionals: { volume: VOLUME },
  options: {},
  run: async ({ args, api, output }) => {
    const volume = await api.volume(args.volume);
    output.record(volume, volumeFields(volume));
    if (output.format === 'table') printAddresses(output, volume);
  },
});
