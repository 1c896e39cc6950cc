import type { VolumeCreateBody } from '../../api/types.js';
import { parseSize } from '../../core/units.js';
import { ACCESS, chapFrom } from '../access-options.js';
import { SIZE, VOLUME } from '../arguments.js';
import { command } from '../command.js';

export const volumeCreate = command({
  usage: 'create <name>',
  describe: 'Create a volume; it takes space only for what is written',
  examples: [
    ['$0 volume create db --size 10GiB', 'on the disk with the most free space'],
    ['$0 volume create db --size 1T --disk /srv/fast', 'on a disk of your choice'],
    [
      '$0 volume create db --size 10G --chap-user app --chap-secret-file secret.txt',
      'iSCSI initiators must know the secret',
    ],
  ],
  positionals: { name: VOLUME },
  options: {
    size: SIZE,
    disk: { type: 'string', requiresArg: true, describe: 'Id or path of the disk' },
    ...ACCESS,
  },
  run: async ({ args, api, output }) => {
    const body: VolumeCreateBody = { name: args.name, size: String(parseSize(args.size)) };
    if (args.disk !== undefined) body.disk = args.disk;
    if (args.initiator !== undefined) body.initiators = args.initiator;
    const chap = await chapFrom(args);
    if (chap !== null) body.chap = chap;
    const volume = await api.createVolume(body);
    output.done(volume, `created volume ${volume.name}`);
    if (output.format === 'table') output.note(`next: aurochs volume attach ${volume.name}`);
  },
});
