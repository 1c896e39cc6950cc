import { formatSizeExact } from '../../core/units.js';
import { GROUP } from '../arguments.js';
import { command } from '../command.js';
import { formatTime } from '../output.js';

export const groupShow = command({
  usage: 'show <group>',
  describe: 'Show one group with its snapshots',
  examples: [['$0 snapshot group show before-upgrade', 'volumes, ids of the snapshots']],
  positionals: { group: GROUP },
  options: {},
  run: async ({ args, api, output }) => {
    const group = await api.snapshotGroup(args.group);
    output.record(group, [
      ['name', group.name],
      ['id', group.id],
      ['created', formatTime(group.createdAt)],
      ...group.members.map(({ volume, snapshot, sizeBytes }): [string, string] => [
        'snapshot',
        `${snapshot} of volume ${volume}, ${formatSizeExact(BigInt(sizeBytes))}`,
      ]),
    ]);
  },
});
