import type { DiskBody } from '../../api/types.js';
import { formatSize } from '../../core/units.js';
import { command } from '../command.js';
import type { Column } from '../output.js';

const COLUMNS: readonly Column<DiskBody>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'PATH', value: ({ path }) => path },
  { title: 'FILE SYSTEM', value: ({ fileSystem }) => fileSystem },
  { title: 'SIZE', value: ({ totalBytes }) => formatSize(BigInt(totalBytes)), align: 'right' },
  { title: 'FREE', value: ({ freeBytes }) => formatSize(BigInt(freeBytes)), align: 'right' },
  { title: 'REPLICAS', value: ({ replicas }) => String(replicas), align: 'right' },
  { title: 'TAGS', value: ({ tags }) => tags.join(', ') || '-' },
  { title: 'PROBLEM', value: ({ problem }) => problem?.message ?? '-' },
];

export const diskLs = command({
  usage: 'ls',
  describe: 'List the disks',
  examples: [['$0 disk ls', 'with their free space']],
  positionals: {},
  options: {},
  run: async ({ api, output }) => {
    output.list(await api.disks(), COLUMNS, 'No disks. Add one with: aurochs disk add PATH');
  },
});
