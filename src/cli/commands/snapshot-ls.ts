import type { SnapshotBody } from '../../api/types.js';
import { formatSize } from '../../core/units.js';
import { VOLUME } from '../arguments.js';
import { command } from '../command.js';
import { type Column, formatTime } from '../output.js';
import { snapshotState } from '../snapshot-view.js';

export const snapshotLs = command({
  usage: 'ls <volume>',
  describe: 'List the snapshots of a volume',
  examples: [['$0 snapshot ls db', 'oldest first']],
  positionals: { volume: VOLUME },
  options: {},
  run: async ({ args, api, output }) => {
    const snapshots = await api.snapshots(args.volume);
    const empty = `No snapshots. Create one with: aurochs snapshot create ${args.volume}`;
    output.list(snapshots, columnsFor(snapshots), empty);
  },
});

function columnsFor(snapshots: readonly SnapshotBody[]): Column<SnapshotBody>[] {
  const nameOf = new Map(snapshots.map(({ id, name }) => [id, name]));
  return [
    { title: 'NAME', value: ({ name }) => name },
    {
      title: 'PARENT',
      value: ({ parent }) => (parent === null ? '-' : (nameOf.get(parent) ?? parent)),
    },
    { title: 'SIZE', value: ({ sizeBytes }) => formatSize(BigInt(sizeBytes)), align: 'right' },
    {
      title: 'ALLOCATED',
      value: ({ allocatedBytes }) => formatSize(BigInt(allocatedBytes)),
      align: 'right',
    },
    { title: 'CREATED', value: ({ createdAt }) => formatTime(createdAt) },
    { title: 'STATE', value: snapshotState },
  ];
}
