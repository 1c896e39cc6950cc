import { command } from '../command.js';

export const diskTag = command({
  usage: 'tag <disk> [tags..]',
  describe: 'Say what kind of disk it is; the tags come in the place of those that it has',
  examples: [
    ['$0 disk tag disk1 ssd fast', 'volumes can ask for --disk-tag ssd'],
    ['$0 disk tag disk1', 'none any more'],
  ],
  positionals: {
    disk: { type: 'string', demandOption: true, describe: 'Id of the disk' },
    tags: { type: 'string', array: true, describe: 'All its tags; none when absent' },
  },
  options: {},
  run: async ({ args, api, output }) => {
    const disk = await api.setDiskTags(args.disk, { tags: args.tags ?? [] });
    const tags = disk.tags.length === 0 ? 'no tags' : disk.tags.join(', ');
    output.done(disk, `disk ${disk.path} has ${tags}`);
  },
});
