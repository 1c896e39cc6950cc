import { VOLUME, YES } from '../arguments.js';
import { command } from '../command.js';
import { confirm } from '../confirm.js';

export const volumeDetach = command({
  usage: 'detach <volume>',
  describe: 'Stop offering a volume, and end its device',
  examples: [
    ['$0 volume detach db', 'refused while it is mounted or sessions are open'],
    ['$0 volume detach db --force', 'ends them; what has not been flushed may be lost'],
  ],
  positionals: { volume: VOLUME },
  options: {
    force: { type: 'boolean', default: false, describe: 'Even if it is in use' },
    yes: YES,
  },
  run: async ({ args, api, output, terminal }) => {
    if (args.force) {
      await confirm(terminal, `Cut off whoever uses volume ${args.volume}?`, args.yes);
    }
    const volume = await api.detachVolume(args.volume, args.force ? { force: true } : {});
    output.done(volume, `detached volume ${volume.name}`);
  },
});
