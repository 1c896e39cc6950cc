import type { DeviceFrontend, VolumePublishBody } from '../../api/types.js';
import { VOLUME } from '../arguments.js';
import { command } from '../command.js';
import { deviceInWords } from '../volume-view.js';

const FRONTENDS: readonly DeviceFrontend[] = ['auto', 'iscsi', 'nbd'];

export const volumePublish = command({
  usage: 'publish <volume> <node>',
  describe: 'Let a node use a volume: attaches it with a device there, until it is unpublished',
  examples: [
    ['$0 volume publish db worker1', 'for that node alone'],
    ['$0 volume publish db worker1 --read-only --shared', 'for several nodes, which only read'],
  ],
  positionals: {
    volume: VOLUME,
    node: { type: 'string', demandOption: true, describe: 'Name or id of the node' },
  },
  options: {
    'read-only': { type: 'boolean', default: false, describe: 'Refuse writes' },
    shared: { type: 'boolean', default: false, describe: 'Other nodes may have it, too' },
    frontend: {
      choices: FRONTENDS,
      requiresArg: true,
      describe: 'What its device comes through',
      defaultDescription: 'auto',
    },
  },
  run: async ({ args, api, output }) => {
    const body: VolumePublishBody = { node: args.node };
    if (args.readOnly) body.readOnly = true;
    if (args.shared) body.shared = true;
    if (args.frontend !== undefined) body.frontend = args.frontend;
    const volume = await api.publishVolume(args.volume, body);
    const device = volume.device === null ? '' : ` as ${deviceInWords(volume.device)}`;
    output.done(volume, `published volume ${volume.name} to node ${args.node}${device}`);
  },
});
