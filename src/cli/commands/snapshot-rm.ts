import type { ApiClient } from '../../api/client.js';
import { AurochsError } from '../../core/errors.js';
import { SNAPSHOT, VOLUME, YES } from '../arguments.js';
import { command } from '../command.js';
import { confirm } from '../confirm.js';
import type { Terminal } from '../terminal.js';

export const snapshotRm = command({
  usage: 'rm <volume> <snapshot>',
  describe: 'Delete a snapshot; what other layers need of it is merged in the background',
  examples: [
    ['$0 snapshot rm db before-upgrade', 'shows the merge when you sit at a terminal'],
    ['$0 snapshot rm db before-upgrade --wait', 'ends when the merge has ended'],
    ['$0 snapshot rm db before-upgrade --no-wait', 'leaves the merge to the agent'],
  ],
  positionals: { volume: VOLUME, snapshot: SNAPSHOT },
  options: {
    wait: {
      type: 'boolean',
      describe: 'Wait for the merge',
      defaultDescription: 'when on a terminal',
    },
    yes: YES,
  },
  run: async ({ args, api, output, terminal }) => {
    const { volume, snapshot } = args;
    await confirm(terminal, `Delete snapshot ${snapshot} of volume ${volume}?`, args.yes);
    const wait = args.wait ?? terminal.stderr.isTTY === true;
    if (wait) await removeAndWait(api, terminal, volume, snapshot);
    else await api.deleteSnapshot(volume, snapshot);
    const sentence = wait ? 'deleted snapshot' : 'deleting in the background: snapshot';
    output.done({ volume, snapshot, deleted: wait }, `${sentence} ${snapshot} of volume ${volume}`);
  },
});

/** Listens before it asks, so that the end of a quick merge is not missed. */
async function removeAndWait(
  api: ApiClient,
  terminal: Terminal,
  volume: string,
  snapshot: string,
): Promise<void> {
  const { id, name } = await api.snapshot(volume, snapshot);
  const listening = new AbortController();
  const events = await api.events(listening.signal);
  await api.deleteSnapshot(volume, id);
  const { showProgress } = await import('../progress.js'); // Its library is slow to load.
  const progress = showProgress(terminal, `merging ${name}`);
  try {
    for await (const event of events) {
      if (event.type !== 'mergeProgress' && event.type !== 'mergeDone') continue;
      if (event.volume !== volume || (event.snapshot !== id && event.snapshot !== name)) continue;
      progress.update(event.type === 'mergeProgress' ? event.share : 1);
      if (event.type === 'mergeProgress') continue;
      if (event.error === null) return;
      throw new AurochsError('IO', `the merge of snapshot ${name} failed: ${event.error}`, RETRY);
    }
  } finally {
    progress.stop();
    listening.abort();
  }
  throw new AurochsError('UNAVAILABLE', 'the agent stopped during the merge', RESUMES);
}

const RETRY =
  'Remove what stopped it; the agent goes on with the merge when it opens the volume again.';
const RESUMES = 'The merge goes on when the agent runs again.';
