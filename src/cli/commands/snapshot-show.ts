import { formatSize, formatSizeExact } from '../../core/units.js';
import { SNAPSHOT, VOLUME } from '../arguments.js';
import { command } from '../command.js';
import { formatTime } from '../output.js';
import { snapshotState } from '../snapshot-view.js';

export const snapshotShow = command({
  usage: 'show <volume> <snapshot>',
  describe: 'Show one snapshot',
  examples: [['$0 snapshot show db before-upgrade', 'its size, parent and state']],
  positionals: { volume: VOLUME, snapshot: SNAPSHOT },
  options: {},
  run: async ({ args, api, output }) => {
    const snapshot = await api.snapshot(args.volume, args.snapshot);
    const { sizeBytes } = snapshot;
    output.record(snapshot, [
      ['name', snapshot.name],
      ['id', snapshot.id],
      ['volume', snapshot.volume],
      ['parent', snapshot.parent ?? '-'],
      ['size', `${formatSizeExact(BigInt(sizeBytes))} (${sizeBytes} bytes)`],
      ['allocated', formatSize(BigInt(snapshot.allocatedBytes))],
      ['created', formatTime(snapshot.createdAt)],
      ['state', snapshotState(snapshot)],
      ['group', snapshot.group ?? '-'],
    ]);
  },
});
