/** Every command there is: nouns with their verbs, and those that stand alone. */
import type { CommandSpec } from './command.js';
import { agent } from './commands/agent.js';
import { completion } from './commands/completion.js';
import { diskAdd } from './commands/disk-add.js';
import { diskLs } from './commands/disk-ls.js';
import { diskRm } from './commands/disk-rm.js';
import { doctor } from './commands/doctor.js';
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
import { volumeLs } from './commands/volume-ls.js';
import { volumeMount } from './commands/volume-mount.js';
import { volumeRm } from './commands/volume-rm.js';
import { volumeSet } from './commands/volume-set.js';
import { volumeShow } from './commands/volume-show.js';
import { volumeTrim } from './commands/volume-trim.js';
import { volumeUnmount } from './commands/volume-unmount.js';

export interface Noun {
  name: string;
  describe: string;
  verbs: readonly CommandSpec[];
}

export const NOUNS: readonly Noun[] = [
  {
    name: 'volume',
    describe: 'Volumes: block devices of a fixed size',
    verbs: [
      volumeCreate,
      volumeLs,
      volumeShow,
      volumeSet,
      volumeAttach,
      volumeDetach,
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
    verbs: [snapshotCreate, snapshotLs, snapshotShow, snapshotDiff, snapshotRevert, snapshotRm],
  },
  {
    name: 'disk',
    describe: 'Disks: directories that hold replicas',
    verbs: [diskAdd, diskLs, diskRm],
  },
  { name: 'session', describe: 'Sessions: who uses which volume', verbs: [sessionLs] },
];

export const STANDALONE: readonly CommandSpec[] = [agent, doctor, completion];
