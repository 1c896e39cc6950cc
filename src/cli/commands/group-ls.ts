import type { SnapshotGroupBody } from '../../api/types.js';
import { command } from '../command.js';
import { type Column, formatTime } from '../output.js';

const COLUMNS: readonly Column<SnapshotGroupBody>[] = [
  { title: 'NAME', value: ({ name }) => name },
  { title: 'CREATED', value: ({ createdAt }) => formatTime(createdAt) },
  { title: 'VOLUMES', value: ({ members }) => members.map(({ volume }) => volume).join(', ') },
];

export const groupLs = command({
  usage: 'ls',
  describe: 'List the groups',
  examples: [['$0 snapshot group ls', 'with their volumes']],
  positionals: {},
  options: {},
  run: async ({ api, output }) => {
    const empty = 'No groups. Create one with: aurochs snapshot group create NAME VOLUME...';
    output.list(await api.snapshotGroups(), COLUMNS, empty);
  },
});
