import { AurochsError } from '../../core/errors.js';
import { LOG_LEVELS } from '../../core/logger.js';
import { LOG_FORMATS } from '../../daemon/config.js';
import { CSI_MODES } from '../../daemon/csi-config.js';
import { command } from '../command.js';

export const csi = command({
  usage: 'csi',
  describe: 'Run the CSI driver csi.aurochs.io until a signal ends it',
  examples: [
    ['$0 csi --endpoint unix:///run/aurochs/csi.sock', 'all services, for a machine with one node'],
    [
      '$0 csi --endpoint unix:///csi/csi.sock --mode node --node-id worker-3',
      'the part that runs on every node',
    ],
  ],
  positionals: {},
  options: {
    endpoint: {
      type: 'string',
      requiresArg: true,
      describe: 'unix:///PATH to serve at',
      defaultDescription: 'CSI_ENDPOINT',
    },
    mode: {
      choices: CSI_MODES,
      requiresArg: true,
      describe: 'Which services it serves',
      defaultDescription: 'all',
    },
    'node-id': {
      type: 'string',
      requiresArg: true,
      describe: "Id or name of the agent's node",
      defaultDescription: "the agent's node",
    },
    'metrics-listen': {
      type: 'string',
      requiresArg: true,
      describe: 'HOST:PORT or unix:PATH to serve /metrics at, for Prometheus',
      defaultDescription: 'none',
    },
    'log-level': {
      choices: LOG_LEVELS,
      requiresArg: true,
      default: 'info',
      describe: 'How much it logs',
    },
    'log-format': {
      choices: LOG_FORMATS,
      requiresArg: true,
      default: 'text',
      describe: 'For people or for programs',
    },
  },
  run: async ({ args, api, terminal }) => {
    const endpoint = args.endpoint ?? terminal.env['CSI_ENDPOINT'] ?? '';
    if (endpoint === '') {
      throw new AurochsError(
        'INVALID_ARGUMENT',
        'no endpoint was given',
        'Give --endpoint unix:///PATH, or set CSI_ENDPOINT.',
      );
    }
    // Only here: gRPC takes longer to load than other commands to run.
    const { runCsi } = await import('../../daemon/run-csi.js');
    await runCsi({ ...args, endpoint, apiSocket: api.socketPath });
  },
});
