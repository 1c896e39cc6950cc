import { YES } from '../arguments.js';
import { command } from '../command.js';
import { confirm } from '../confirm.js';

export const diskRm = command({
  usage: 'rm <disk>',
  describe: 'Take a directory out of use; refused while it holds replicas',
  examples: [['$0 disk rm disk1', 'by the id that "disk ls" shows']],
  positionals: { disk: { type: 'string', demandOption: true, describe: 'Id of the disk' } },
  options: { yes: YES },
  run: async ({ args, api, output, terminal }) => {
    await confirm(terminal, `Take disk ${args.disk} out of use?`, args.yes);
    await api.removeDisk(args.disk);
    output.done({ id: args.disk, removed: true }, `removed disk ${args.disk}`);
  },
});
