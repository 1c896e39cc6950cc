import type { NodeBody } from '../../api/types.js';
import { command } from '../command.js';
import { type Column, formatTime } from '../output.js';

const COLUMNS: readonly Column<NodeBody>[] = [
  { title: 'NAME', value: ({ name }) => name },
  { title: 'ID', value: ({ id }) => id },
  { title: 'ZONE', value: ({ zone }) => zone ?? '-' },
  { title: 'TAGS', value: ({ tags }) => tags.join(', ') || '-' },
  { title: 'SINCE', value: ({ createdAt }) => formatTime(createdAt) },
];

export const nodeLs = command({
  usage: 'ls',
  describe: 'List the nodes',
  examples: [['$0 node ls', 'with their zones and tags']],
  positionals: {},
  options: {},
  run: async ({ api, output }) => {
    output.list(await api.nodes(), COLUMNS, 'No nodes.');
  },
});
