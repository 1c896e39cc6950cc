import { VOLUME } from '../arguments.js';
import { command } from '../command.js';
import { parseLabelChanges } from '../label-arguments.js';

export const volumeLabel = command({
  usage: 'label <volume> <labels..>',
  describe: 'Remember words with a volume, and forget them; those not named stay',
  examples: [
    ['$0 volume label db team=storage stage=test', 'two of them'],
    ['$0 volume label db stage-', 'takes one away'],
  ],
  positionals: {
    volume: VOLUME,
    labels: {
      type: 'string',
      array: true,
      demandOption: true,
      describe: 'KEY=VALUE to set, KEY- to take away',
    },
  },
  options: {},
  run: async ({ args, api, output }) => {
    const labels = parseLabelChanges(args.labels);
    const volume = await api.setVolumeLabels(args.volume, { labels });
    output.done(volume, `labelled volume ${volume.name}`);
  },
});
