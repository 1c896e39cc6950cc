import { VOLUME } from '../arguments.js';
import { command } from '../command.js';

export const snapshotCreate = command({
  usage: 'create <volume> [name]',
  describe: 'Freeze what a volume holds now, also while it is attached',
  examples: [
    ['$0 snapshot create db before-upgrade', 'with a name'],
    ['$0 snapshot create db', 'named after the time'],
  ],
  positionals: { volume: VOLUME, name: { type: 'string', describe: 'Name of the snapshot' } },
  options: {},
  run: async ({ args, api, output }) => {
    const body = args.name === undefined ? {} : { name: args.name };
    const snapshot = await api.createSnapshot(args.volume, body);
    output.done(snapshot, `created snapshot ${snapshot.name} of volume ${args.volume}`);
  },
});
