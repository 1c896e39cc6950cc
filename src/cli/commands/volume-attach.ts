import type { Frontend, Provisioning, VolumeAttachBody } from '../../api/types.js';
import { VOLUME } from '../arguments.js';
import { command } from '../command.js';
import { printAddresses } from '../volume-view.js';

const FRONTENDS: readonly Frontend[] = ['iscsi', 'nbd'];
const PROVISIONINGS: readonly Provisioning[] = ['thin', 'full'];

export const volumeAttach = command({
  usage: 'attach <volume>',
  describe: 'Offer a volume over iSCSI and NBD, and print how to reach it',
  examples: [
    ['$0 volume attach db', 'through both frontends'],
    ['$0 volume attach db --frontend nbd --read-only', 'through one, for reading only'],
  ],
  positionals: { volume: VOLUME },
  options: {
    frontend: {
      choices: FRONTENDS,
      array: true,
      requiresArg: true,
      describe: 'Frontend to offer it through; both when absent',
    },
    'read-only': { type: 'boolean', default: false, describe: 'Refuse writes' },
    removable: {
      type: 'boolean',
      default: false,
      describe: 'Over iSCSI: a medium that can be unloaded and locked',
    },
    provision: {
      choices: PROVISIONINGS,
      requiresArg: true,
      describe: 'Over iSCSI: thin lets initiators give blocks back (default), full does not',
    },
  },
  run: async ({ args, api, output }) => {
    const body: VolumeAttachBody = {};
    if (args.frontend !== undefined) body.frontends = args.frontend;
    if (args.readOnly) body.readOnly = true;
    if (args.removable) body.removable = true;
    if (args.provision !== undefined) body.provisioning = args.provision;
    const volume = await api.attachVolume(args.volume, body);
    output.done(volume, `attached volume ${volume.name}`);
    if (output.format === 'table') printAddresses(output, volume);
  },
});
