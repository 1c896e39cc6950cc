import { readFile } from 'node:fs/promises';

import type { VolumeCreateBody } from '../../api/types.js';
import { AurochsError } from '../../core/errors.js';
import { parseSize } from '../../core/units.js';
import { SIZE, VOLUME } from '../arguments.js';
import { command } from '../command.js';

/** A secret has at most 256 bytes; a file that is much larger is the wrong one. */
const SECRET_FILE_BYTES_MAX = 4096;

export const volumeCreate = command({
  usage: 'create <name>',
  describe: 'Create a volume; it takes space only for what is written',
  examples: [
    ['$0 volume create db --size 10GiB', 'on the disk with the most free space'],
    ['$0 volume create db --size 1T --disk /srv/fast', 'on a disk of your choice'],
    [
      '$0 volume create db --size 10G --chap-user app --chap-secret-file secret.txt',
      'iSCSI initiators must know the secret',
    ],
  ],
  positionals: { name: VOLUME },
  options: {
    size: SIZE,
    disk: { type: 'string', requiresArg: true, describe: 'Id or path of the disk' },
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
  },
  run: async ({ args, api, output }) => {
    const body: VolumeCreateBody = { name: args.name, size: String(parseSize(args.size)) };
    if (args.disk !== undefined) body.disk = args.disk;
    if (args.initiator !== undefined) body.initiators = args.initiator;
    if (args.chapUser !== undefined && args.chapSecretFile !== undefined) {
      body.chap = { user: args.chapUser, secret: await readSecret(args.chapSecretFile) };
      if (args.mutualChapUser !== undefined && args.mutualChapSecretFile !== undefined) {
        body.chap.mutualUser = args.mutualChapUser;
        body.chap.mutualSecret = await readSecret(args.mutualChapSecretFile);
      }
    }
    const volume = await api.createVolume(body);
    output.done(volume, `created volume ${volume.name}`);
    if (output.format === 'table') output.note(`next: aurochs volume attach ${volume.name}`);
  },
});

/** The file's first line: an editor adds a line end that nobody means. */
async function readSecret(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const message = `cannot read the secret file ${path}: ${(error as Error).message}`;
    throw new AurochsError('INVALID_ARGUMENT', message, undefined, { cause: error });
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
