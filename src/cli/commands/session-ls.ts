import type { SessionBody } from '../../api/types.js';
import { command } from '../command.js';
import type { Column } from '../output.js';

const COLUMNS: readonly Column<SessionBody>[] = [
  { title: 'VOLUME', value: ({ volume }) => volume },
  { title: 'FRONTEND', value: ({ frontend }) => frontend },
  { title: 'INITIATOR', value: ({ initiator }) => initiator || '-' },
  { title: 'ADDRESS', value: ({ address }) => address },
];

export const sessionLs = command({
  usage: 'ls',
  describe: 'List who uses which volume now',
  examples: [['$0 session ls', 'open sessions of both frontends']],
  positionals: {},
  options: {},
  run: async ({ api, output }) => {
    output.list(await api.sessions(), COLUMNS, 'No sessions.');
  },
});
