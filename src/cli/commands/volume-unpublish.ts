import { VOLUME } from '../arguments.js';
import { command } from '../command.js';

export const volumeUnpublish = command({
  usage: 'unpublish <volume> [node]',
  describe: 'Take a volume from a node, or from all; the last one detaches it',
  examples: [
    ['$0 volume unpublish db worker1', 'refused while its device is used'],
    ['$0 volume unpublish db', 'from all nodes'],
  ],
  positionals: {
    volume: VOLUME,
    node: { type: 'string', describe: 'Name or id of the node; all when absent' },
  },
  options: {},
  run: async ({ args, api, output }) => {
    const volume = await api.unpublishVolume(
      args.volume,
      args.node === undefined ? {} : { node: args.node },
    );
    const from = args.node === undefined ? 'all nodes' : `node ${args.node}`;
    output.done(volume, `unpublished volume ${volume.name} from ${from}`);
  },
});
