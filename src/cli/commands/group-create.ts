import { command } from '../command.js';

export const groupCreate = command({
  usage: 'create <name> <volumes..>',
  describe: 'Freeze what several volumes hold at one moment; no write falls between them',
  examples: [['$0 snapshot group create before-upgrade db wal', 'of volumes db and wal']],
  positionals: {
    name: {
      type: 'string',
      demandOption: true,
      describe: 'Name of the group, and of its snapshot of each volume',
    },
    volumes: { type: 'string', array: true, demandOption: true, describe: 'Names of the volumes' },
  },
  options: {},
  run: async ({ args, api, output }) => {
    const group = await api.createSnapshotGroup({ name: args.name, volumes: args.volumes });
    const count = group.members.length;
    output.done(group, `created snapshot group ${group.name} of ${count} volume(s)`);
  },
});
