import { formatSizeExact, parseSize } from '../../core/units.js';
import { SIZE, VOLUME } from '../arguments.js';
import { command } from '../command.js';

export const volumeExpand = command({
  usage: 'expand <volume>',
  describe: 'Make a volume larger, also while it is attached; it never gets smaller',
  examples: [['$0 volume expand db --size 20GiB', '20 GiB in all, not 20 GiB more']],
  positionals: { volume: VOLUME },
  options: {
    size: SIZE,
  },
  run: async ({ args, api, output }) => {
    const size = String(parseSize(args.size));
    const volume = await api.expandVolume(args.volume, { size });
    const shown = formatSizeExact(BigInt(volume.sizeBytes));
    output.done(volume, `volume ${volume.name} has ${shown}`);
  },
});
