/** Options that every command has. */
import type { Options } from 'yargs';

import { OUTPUT_FORMATS } from './output.js';

export const GLOBAL_OPTIONS: Record<string, Options> = {
  'api-socket': {
    type: 'string',
    requiresArg: true,
    describe: 'Socket of the agent',
    defaultDescription: 'AUROCHS_API_SOCKET, else the usual place',
  },
  output: {
    alias: 'o',
    choices: OUTPUT_FORMATS,
    requiresArg: true,
    default: 'table',
    describe: 'Form of the result',
  },
};
