import type { ApiClient } from '../../api/client.js';
import type { VolumeCreateBody } from '../../api/types.js';
import { AurochsError } from '../../core/errors.js';
import { parseSize } from '../../core/units.js';
import { ACCESS, chapFrom } from '../access-options.js';
import { several, SIZE, VOLUME } from '../arguments.js';
import { command } from '../command.js';
import { createCopy } from '../create-copy.js';
import { parseLabels } from '../label-arguments.js';

export const volumeCreate = command({
  usage: 'create <name>',
  describe: 'Create a volume, blank or as a copy; it takes space only for what is written',
  examples: [
    ['$0 volume create db --size 10GiB', 'on the disk with the most free space'],
    ['$0 volume create db --size 1T --disk /srv/fast', 'on a disk of your choice'],
    ['$0 volume create test --from db/before-upgrade', 'what a snapshot of volume db holds'],
    [
      '$0 volume create test --from db --size 20GiB',
      'what volume db holds now, with room for more',
    ],
    [
      '$0 volume create db --size 10G --chap-user app --chap-secret-file secret.txt',
      'iSCSI initiators must know the secret',
    ],
  ],
  positionals: { name: VOLUME },
  options: {
    size: { ...SIZE, demandOption: false, defaultDescription: 'with --from: as the source' },
    from: {
      type: 'string',
      requiresArg: true,
      describe: 'VOLUME or VOLUME/SNAPSHOT to copy',
    },
    wait: {
      type: 'boolean',
      default: true,
      describe: 'Wait until it is copied; --no-wait leaves that to the agent',
    },
    disk: { type: 'string', requiresArg: true, describe: 'Id or path of the disk' },
    'disk-tag': several('The disk must have this tag'),
    node: several('Name or id of a node that it may lie on; any when absent'),
    'node-tag': several('The node must have this tag'),
    label: several('KEY=VALUE to remember with it'),
    ...ACCESS,
  },
  run: async ({ args, api, output, terminal }) => {
    const source = args.from === undefined ? null : sourceOf(args.from);
    const body: VolumeCreateBody = { name: args.name, size: await sizeOf(args.size, source, api) };
    if (source !== null) body.source = source;
    if (args.disk !== undefined) body.disk = args.disk;
    if (args.diskTag !== undefined) body.diskTags = args.diskTag;
    if (args.node !== undefined) body.nodes = args.node;
    if (args.nodeTag !== undefined) body.nodeTags = args.nodeTag;
    if (args.label !== undefined) body.labels = parseLabels(args.label);
    if (args.initiator !== undefined) body.initiators = args.initiator;
    const chap = await chapFrom(args);
    if (chap !== null) body.chap = chap;
    const volume =
      source !== null && args.wait
        ? await createCopy(api, terminal, body)
        : await api.createVolume(body);
    const isThere = volume.state !== 'creating';
    output.done(
      volume,
      `${isThere ? 'created' : 'copying in the background:'} volume ${volume.name}`,
    );
    if (output.format === 'table' && isThere) {
      output.note(`next: aurochs volume attach ${volume.name}`);
    }
  },
});

function sourceOf(from: string): { volume: string; snapshot?: string } {
  const slash = from.indexOf('/');
  if (slash < 0) return { volume: from };
  return { volume: from.slice(0, slash), snapshot: from.slice(slash + 1) };
}

async function sizeOf(
  said: string | undefined,
  source: { volume: string; snapshot?: string } | null,
  api: ApiClient,
): Promise<string> {
  if (said !== undefined) return String(parseSize(said));
  if (source === null) {
    const help = 'See: aurochs volume create --help';
    throw new AurochsError('INVALID_ARGUMENT', '--size is missing', help);
  }
  const { volume, snapshot } = source;
  const origin = snapshot === undefined ? api.volume(volume) : api.snapshot(volume, snapshot);
  return (await origin).sizeBytes;
}
