import { formatSize } from '../../core/units.js';
import { VOLUME } from '../arguments.js';
import { command } from '../command.js';

export const volumeTrim = command({
  usage: 'trim <volume>',
  describe: 'Give back what the mounted file system of a volume does not use',
  examples: [['$0 volume trim db', 'after many files were removed']],
  positionals: { volume: VOLUME },
  options: {},
  run: async ({ args, api, output }) => {
    const { trimmedBytes } = await api.trimVolume(args.volume);
    const shown = formatSize(BigInt(trimmedBytes));
    output.done({ volume: args.volume, trimmedBytes }, `trimmed ${shown} of volume ${args.volume}`);
  },
});
