/** Options and files that say who may log in over iSCSI. */
import { readFile } from 'node:fs/promises';

import type { ChapRequestBody } from '../api/types.js';
import { AurochsError } from '../core/errors.js';

/** A secret has at most 256 bytes; a file that is much larger is the wrong one. */
const SECRET_FILE_BYTES_MAX = 4096;

export const ACCESS = {
  'chap-user': {
    type: 'string',
    requiresArg: true,
    implies: 'chap-secret-file',
    describe: 'Initiators log in with this name (CHAP)',
  },
  'chap-secret-file': {
    type: 'string',
    requiresArg: true,
    implies: 'chap-user',
    describe: 'File with their secret, 12 to 256 bytes in one line',
  },
  'mutual-chap-user': {
    type: 'string',
    requiresArg: true,
    implies: ['mutual-chap-secret-file', 'chap-user'],
    describe: 'The volume answers with this name when initiators ask (mutual CHAP)',
  },
  'mutual-chap-secret-file': {
    type: 'string',
    requiresArg: true,
    implies: 'mutual-chap-user',
    describe: 'File with its secret',
  },
  initiator: {
    type: 'string',
    array: true,
    requiresArg: true,
    describe: 'iSCSI initiator name that may log in; all when absent',
  },
} as const;

interface ChapArguments {
  chapUser?: string | undefined;
  chapSecretFile?: string | undefined;
  mutualChapUser?: string | undefined;
  mutualChapSecretFile?: string | undefined;
}

/** The credentials that the options name; null if they name none. */
export async function chapFrom(args: ChapArguments): Promise<ChapRequestBody | null> {
  if (args.chapUser === undefined || args.chapSecretFile === undefined) return null;
  const chap: ChapRequestBody = {
    user: args.chapUser,
    secret: await readSecret(args.chapSecretFile),
  };
  if (args.mutualChapUser !== undefined && args.mutualChapSecretFile !== undefined) {
    chap.mutualUser = args.mutualChapUser;
    chap.mutualSecret = await readSecret(args.mutualChapSecretFile);
  }
  return chap;
}

/** The file's first line: an editor adds a line end that nobody means. */
async function readSecret(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new AurochsError(
      'INVALID_ARGUMENT',
      `cannot read the secret file ${path}: ${why}`,
      'Check the path, and that you may read it.',
      { cause: error },
    );
  }
  const secret = text.replace(/\r?\n$/, '');
  if (text.length > SECRET_FILE_BYTES_MAX || /[\r\n]/.test(secret)) {
    const hint = 'Put the secret alone into the file, in one line.';
    throw new AurochsError(
      'INVALID_ARGUMENT',
      `the secret file ${path} has more than one line`,
      hint,
    );
  }
  return secret;
}
