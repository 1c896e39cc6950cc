import { SNAPSHOT, VOLUME, YES } from '../arguments.js';
import { command } from '../command.js';
import { confirm } from '../confirm.js';

export const snapshotRevert = command({
  usage: 'revert <volume> <snapshot>',
  describe: 'Give a detached volume back what a snapshot holds',
  examples: [['$0 snapshot revert db before-upgrade', 'what was written since then is lost']],
  positionals: { volume: VOLUME, snapshot: SNAPSHOT },
  options: { yes: YES },
  run: async ({ args, api, output, terminal }) => {
    const { volume, snapshot } = args;
    const question = `Discard what volume ${volume} holds now, and go back to ${snapshot}?`;
    await confirm(terminal, question, args.yes);
    await api.revertSnapshot(volume, snapshot);
    output.done({ volume, snapshot, reverted: true }, `reverted volume ${volume} to ${snapshot}`);
  },
});
