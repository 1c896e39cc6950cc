import { VOLUME, YES } from '../arguments.js';
import { command } from '../command.js';
import { confirm } from '../confirm.js';

export const volumeRm = command({
  usage: 'rm <volume>',
  describe: 'Delete a volume with its data and snapshots; refused while it is attached',
  examples: [
    ['$0 volume rm db', 'asks first when you sit at a terminal'],
    ['$0 volume rm db --yes', 'does not ask'],
  ],
  positionals: { volume: VOLUME },
  options: { yes: YES },
  run: async ({ args, api, output, terminal }) => {
    const question = `Delete volume ${args.volume} with all its data and snapshots?`;
    await confirm(terminal, question, args.yes);
    await api.deleteVolume(args.volume);
    output.done({ name: args.volume, deleted: true }, `deleted volume ${args.volume}`);
  },
});
