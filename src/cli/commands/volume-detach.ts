import { VOLUME, YES } from '../arguments.js';
import { command } from '../command.js';
import { confirm } from '../confirm.js';

export const volumeDetach = command({
  usage: 'detach <volume>',
  describe: 'Stop offering a volume',
  examples: [
    ['$0 volume detach db', 'refused while sessions are open'],
    ['$0 volume detach db --force', 'ends them; what they have not flushed may fail'],
  ],
  positionals: { volume: VOLUME },
  options: {
    force: { type: 'boolean', default: false, describe: 'End open sessions' },
    yes: YES,
  },
  run: async ({ args, api, output, terminal }) => {
    if (args.force) {
      await confirm(terminal, `End every open session of volume ${args.volume}?`, args.yes);
    }
    const volume = await api.detachVolume(args.volume, args.force ? { force: true } : {});
    output.done(volume, `detached volume ${volume.name}`);
  },
});
