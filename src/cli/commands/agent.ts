import { LOG_LEVELS } from '../../core/logger.js';
import { IO_BACKENDS, LOG_FORMATS, NBD_TLS_MODES } from '../../daemon/config.js';
import { CSI_MODES } from '../../daemon/csi-config.js';
import { apiSocketOf } from '../api-socket.js';
import { several } from '../arguments.js';
import { command } from '../command.js';

export const agent = command({
  usage: 'agent',
  describe: 'Run the agent of this machine until a signal ends it',
  examples: [
    ['$0 agent', 'with the usual places'],
    [
      '$0 agent --data-dir ~/aurochs --run-dir ~/aurochs/run --iscsi-portal 127.0.0.1:0 --nbd-listen 127.0.0.1:0',
      'a second one, in places of its own',
    ],
  ],
  positionals: {},
  options: {
    'data-dir': {
      type: 'string',
      requiresArg: true,
      describe: 'Directory of its store and of its first disk',
    },
    'run-dir': { type: 'string', requiresArg: true, describe: 'Directory of its sockets' },
    'iscsi-portal': {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'HOST:PORT to serve iSCSI at; port 0 takes a free one',
      defaultDescription: '127.0.0.1:3260',
    },
    'nbd-listen': {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'HOST:PORT or unix:PATH to serve NBD at',
      defaultDescription: '127.0.0.1:10809 and nbd.sock in the run directory',
    },
    'nbd-tls-cert': {
      type: 'string',
      requiresArg: true,
      describe: 'Certificate chain (PEM) for NBD over TCP',
    },
    'nbd-tls-key': { type: 'string', requiresArg: true, describe: 'Its key (PEM)' },
    'nbd-tls-client-ca': {
      type: 'string',
      requiresArg: true,
      describe: 'Clients must show a certificate of this authority',
    },
    'nbd-tls': {
      choices: NBD_TLS_MODES,
      requiresArg: true,
      describe: 'Whether clients over TCP may go without TLS',
      defaultDescription: 'required, where there is a certificate',
    },
    'discovery-chap-file': {
      type: 'string',
      requiresArg: true,
      describe: 'JSON file with user and secret that iSCSI discovery asks for',
    },
    'node-name': {
      type: 'string',
      requiresArg: true,
      describe: 'What this node is called',
      defaultDescription: 'as its host at the first start',
    },
    zone: { type: 'string', requiresArg: true, describe: 'What fails together with this node' },
    'node-tag': several('Word that volumes can ask for with --node-tag'),
    'io-backend': {
      choices: IO_BACKENDS,
      requiresArg: true,
      describe: 'How it talks to the kernel',
      defaultDescription: 'auto',
    },
    loops: {
      type: 'number',
      requiresArg: true,
      describe: 'Threads of the data path',
      defaultDescription: 'one per processor',
    },
    'lock-memory': {
      type: 'boolean',
      describe: 'Keep the program in memory, for volumes that this machine mounts itself (root)',
    },
    'api-socket-group': {
      type: 'string',
      requiresArg: true,
      describe: 'Group whose members may use the API; they are as good as root',
    },
    'csi-endpoint': {
      type: 'string',
      requiresArg: true,
      describe: 'unix:///PATH to serve CSI at, as "aurochs csi" does',
      defaultDescription: 'none',
    },
    'csi-mode': {
      choices: CSI_MODES,
      requiresArg: true,
      implies: 'csi-endpoint',
      describe: 'Which services of CSI it serves',
      defaultDescription: 'all',
    },
    'csi-node-id': {
      type: 'string',
      requiresArg: true,
      implies: 'csi-endpoint',
      describe: 'Id or name of the node that CSI speaks of',
      defaultDescription: "the agent's node",
    },
    'csi-metrics-listen': {
      type: 'string',
      requiresArg: true,
      implies: 'csi-endpoint',
      describe: 'HOST:PORT or unix:PATH to serve /metrics of CSI at, for Prometheus',
      defaultDescription: 'none',
    },
    'log-level': {
      choices: LOG_LEVELS,
      requiresArg: true,
      describe: 'How much it logs',
      defaultDescription: 'info',
    },
    'log-format': {
      choices: LOG_FORMATS,
      requiresArg: true,
      describe: 'For people or for programs',
      defaultDescription: 'text',
    },
  },
  run: async ({ args, terminal }) => {
    // Only here: the agent brings the store and the data path along, which other commands need not load.
    const { runAgent } = await import('../../daemon/run-agent.js');
    const apiSocket = args.apiSocket ?? apiSocketOf(terminal.env);
    await runAgent({ ...args, apiSocket });
  },
});
