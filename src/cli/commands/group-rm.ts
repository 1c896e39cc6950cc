import { GROUP, YES } from '../arguments.js';
import { command } from '../command.js';
import { confirm } from '../confirm.js';

export const groupRm = command({
  usage: 'rm <group>',
  describe: 'Delete a group with its snapshots; what other layers need of them is merged',
  examples: [['$0 snapshot group rm before-upgrade', 'asks first when you sit at a terminal']],
  positionals: { group: GROUP },
  options: { yes: YES },
  run: async ({ args, api, output, terminal }) => {
    await confirm(terminal, `Delete group ${args.group} with its snapshots?`, args.yes);
    await api.deleteSnapshotGroup(args.group);
    output.done({ group: args.group, deleted: true }, `deleted snapshot group ${args.group}`);
  },
});
