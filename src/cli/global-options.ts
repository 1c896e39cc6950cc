/** Options that every command has. */
import type { Options } from 'yargs';

import { OUTPUT_FORMATS } from './output.js';
import { defaultApiSocket } from './paths.js';

export function globalOptions(env: NodeJS.ProcessEnv): Record<string, Options> {
  return {
    'api-socket': {
      type: 'string',
      requiresArg: true,
      default: env['AUROCHS_API_SOCKET'] || defaultApiSocket(env),
      defaultDescription: 'AUROCHS_API_SOCKET, else the usual place',
      describe: 'Socket of the agent',
    },
    output: {
      alias: 'o',
      choices: OUTPUT_FORMATS,
      requiresArg: true,
      default: 'table',
      describe: 'Form of the result',
    },
  };
}
