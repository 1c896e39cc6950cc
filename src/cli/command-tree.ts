/** Every command there is: nouns with their verbs, and those that stand alone. */
import { commandName, type CommandSpec } from './command.js';
import { agent } from './commands/agent.js';
import { completion } from './commands/completion.js';
import { csi } from './commands/csi.js';
import { diskAdd } from './commands/disk-add.js';
import { diskLs } from './commands/disk-ls.js';
import { diskRm } from './commands/disk-rm.js';
import { diskTag } from './commands/disk-tag.js';
import { doctor } from './commands/doctor.js';
import { groupCreate } from './commands/group-create.js';
import { groupLs } from './commands/group-ls.js';
import { groupRm } from './commands/group-rm.js';
import { groupShow } from './commands/group-show.js';
import { nodeLs } from './commands/node-ls.js';
import { sessionLs } from './commands/session-ls.js';
import { snapshotCreate } from './commands/snapshot-create.js';
import { snapshotDiff } from './commands/snapshot-diff.js';
import { snapshotLs } from './commands/snapshot-ls.js';
import { snapshotRevert } from './commands/snapshot-revert.js';
import { snapshotRm } from './commands/snapshot-rm.js';
import { snapshotShow } from './commands/snapshot-show.js';
import { volumeAttach } from './commands/volume-attach.js';
import { volumeCreate } from './commands/volume-create.js';
import { volumeDetach } from './commands/volume-detach.js';
import { volumeExpand } from './commands/volume-expand.js';
import { volumeLabel } from './commands/volume-label.js';
import { volumeLs } from './commands/volume-ls.js';
import { volumeMount } from './commands/volume-mount.js';
import { volumePublish } from './commands/volume-publish.js';
import { volumeRm } from './commands/volume-rm.js';
import { volumeSet } from './commands/volume-set.js';
import { volumeShow } from './commands/volume-show.js';
import { volumeTrim } from './commands/volume-trim.js';
import { volumeUnmount } from './commands/volume-unmount.js';
import { volumeUnpublish } from './commands/volume-unpublish.js';

export interface Noun {
  name: string;
  describe: string;
  nouns: readonly Noun[];
  verbs: readonly CommandSpec[];
}

const NOUNS: readonly Noun[] = [
  {
    name: 'volume',
    describe: 'Volumes: block devices of a fixed size',
    nouns: [],
    verbs: [
      volumeCreate,
      volumeLs,
      volumeShow,
      volumeSet,
      volumeLabel,
      volumeAttach,
      volumeDetach,
      volumePublish,
      volumeUnpublish,
      volumeMount,
      volumeUnmount,
      volumeTrim,
      volumeExpand,
      volumeRm,
    ],
  },
  {
    name: 'snapshot',
    describe: 'Snapshots: what a volume held at some time',
    nouns: [
      {
        name: 'group',
        describe: 'Groups: snapshots of several volumes at one moment',
        nouns: [],
        verbs: [groupCreate, groupLs, groupShow, groupRm],
      },
    ],
    verbs: [snapshotCreate, snapshotLs, snapshotShow, snapshotDiff, snapshotRevert, snapshotRm],
  },
  {
    name: 'disk',
    describe: 'Disks: directories that hold replicas',
    nouns: [],
    verbs: [diskAdd, diskLs, diskTag, diskRm],
  },
  { name: 'node', describe: 'Nodes: machines that run an agent', nouns: [], verbs: [nodeLs] },
  {
    name: 'session',
    describe: 'Sessions: who uses which volume',
    nouns: [],
    verbs: [sessionLs],
  },
];

const STANDALONE: readonly CommandSpec[] = [agent, csi, doctor, completion];

/** All there is. */
export const PROGRAM: Noun = { name: 'aurochs', describe: '', nouns: NOUNS, verbs: STANDALONE };

export function namesBelow({ nouns, verbs }: Noun): string[] {
  return [...nouns.map(({ name }) => name), ...verbs.map(commandName)];
}

/** How far the words name something: the last noun of them, and the command if they come to one. */
export function walk(words: readonly string[]): {
  noun: Noun;
  spec: CommandSpec | undefined;
  depth: number;
} {
  let noun = PROGRAM;
  for (const [depth, word] of words.entries()) {
    const spec = noun.verbs.find((each) => commandName(each) === word);
    if (spec !== undefined) return { noun, spec, depth: depth + 1 };
    const below = noun.nouns.find(({ name }) => name === word);
    if (below === undefined) return { noun, spec, depth };
    noun = below;
  }
  return { noun, spec: undefined, depth: words.length };
}
