import type { VolumeAccessBody } from '../../api/types.js';
import { AurochsError } from '../../core/errors.js';
import { ACCESS, chapFrom } from '../access-options.js';
import { VOLUME } from '../arguments.js';
import { command } from '../command.js';

export const volumeSet = command({
  usage: 'set <volume>',
  describe: 'Change who may log in over iSCSI; open sessions stay',
  examples: [
    ['$0 volume set db --initiator iqn.1993-08.org.debian:01:6f2d5a3c8b1e', 'only this one'],
    ['$0 volume set db --chap-user app --chap-secret-file new.txt', 'another secret'],
    ['$0 volume set db --all-initiators --without-chap', 'anybody who reaches the portal'],
  ],
  positionals: { volume: VOLUME },
  options: {
    ...ACCESS,
    'all-initiators': {
      type: 'boolean',
      conflicts: 'initiator',
      describe: 'Forget the list of initiators',
    },
    'without-chap': {
      type: 'boolean',
      conflicts: 'chap-user',
      describe: 'Ask for no secret any more',
    },
  },
  run: async ({ args, api, output }) => {
    const body: VolumeAccessBody = {};
    if (args.initiator !== undefined) body.initiators = args.initiator;
    if (args.allInitiators === true) body.initiators = [];
    const chap = await chapFrom(args);
    if (chap !== null || args.withoutChap === true) body.chap = chap;
    if (Object.keys(body).length === 0) {
      throw new AurochsError(
        'INVALID_ARGUMENT',
        'nothing to change was named',
        'Name initiators or CHAP credentials; "aurochs volume set --help" has examples.',
      );
    }
    const volume = await api.setVolumeAccess(args.volume, body);
    output.done(volume, `changed volume ${volume.name}`);
  },
});
