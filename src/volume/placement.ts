/** Where a new replica may lie, and which of these places is the best. */
import { AurochsError } from '../core/errors.js';
import { formatSizeExact } from '../core/units.js';
import { diskNotFound, normalizePath } from './disk-path.js';
import type { Disk } from './model.js';
import type { NodeIdentity } from './ports.js';
import { doesNotFit } from './volume-size.js';

/** What the user says about the place. */
export interface PlaceWish {
  /** Id or path. */
  disk?: string;
  /** The disk must have all of them. */
  diskTags?: string[];
  /** Its node must have all of them. */
  nodeTags?: string[];
  /** Ids or names: it must be one of these. */
  nodes?: string[];
}

/** What the volume needs of the place. */
export interface PlaceNeed {
  volume: string;
  sizeBytes: bigint;
  /** A copy lies best where its source is, if `bytes` fit there: the file system may be able to share them. */
  near?: { diskId: string; bytes: bigint };
}

/** NOT_FOUND, FAILED_PRECONDITION, OUT_OF_RANGE and NO_SPACE say what rules every place out. */
export function choosePlace(
  disks: readonly Disk[],
  nodes: readonly NodeIdentity[],
  wish: PlaceWish,
  need: PlaceNeed,
): Disk {
  const named = wish.disk === undefined ? disks : [diskNamed(disks, wish.disk)];
  const allowed = withTags('disk', onNodes(named, nodes, wish), wish.diskTags ?? []);
  const sound = soundOf(allowed, wish);
  const byRoom = [...sound].sort((a, b) => descending(a.freeBytes, b.freeBytes));
  const large = byRoom.filter((disk) => need.sizeBytes <= disk.fileBytesMax);
  const [best] = large;
  if (best === undefined) throw tooLarge(byRoom, wish, need);
  const { near } = need;
  const nearest = large.find(({ id, freeBytes }) => id === near?.diskId && freeBytes >= near.bytes);
  return nearest ?? best;
}

function diskNamed(disks: readonly Disk[], wanted: string): Disk {
  const path = normalizePath(wanted);
  const found = disks.find((disk) => disk.id === wanted || disk.path === path);
  if (found === undefined) throw diskNotFound(wanted);
  return found;
}

function onNodes(disks: readonly Disk[], nodes: readonly NodeIdentity[], wish: PlaceWish): Disk[] {
  const { nodes: names = [], nodeTags = [] } = wish;
  if (names.length === 0 && nodeTags.length === 0) return [...disks];
  const known =
    names.length === 0
      ? nodes
      : nodes.filter(({ id, name }) => names.includes(id) || names.includes(name));
  if (known.length === 0) {
    const list = names.slice(0, 3).map((name) => JSON.stringify(name.slice(0, 80)));
    throw new AurochsError(
      'NOT_FOUND',
      `there is no node ${list.join(', ')}${names.length > 3 ? ', …' : ''}`,
      '"aurochs node ls" shows all.',
    );
  }
  const ids = new Set(withTags('node', known, nodeTags).map(({ id }) => id));
  const found = disks.filter((disk) => ids.has(disk.nodeId));
  if (found.length > 0) return found;
  throw new AurochsError(
    'FAILED_PRECONDITION',
    'no disk is on a node that was asked for',
    'Name other nodes, or add a disk there.',
  );
}

function withTags<T extends { tags: readonly string[] }>(
  what: 'disk' | 'node',
  things: readonly T[],
  tags: readonly string[],
): T[] {
  const found = things.filter((thing) => tags.every((tag) => thing.tags.includes(tag)));
  if (found.length > 0 || tags.length === 0) return found;
  const missing = tags.filter((tag) => !things.some((thing) => thing.tags.includes(tag)));
  const lacking = missing.length > 0 ? missing : tags;
  throw new AurochsError(
    'FAILED_PRECONDITION',
    `no ${what} that may be used has the ${lacking.length === 1 ? 'tag' : 'tags'} ${lacking.join(', ')}`,
    what === 'disk'
      ? 'Tag a disk (aurochs disk tag), or ask for other tags.'
      : 'Start an agent with --node-tag, or ask for other tags.',
  );
}

function soundOf(disks: readonly Disk[], wish: PlaceWish): Disk[] {
  const sound = disks.filter((disk) => disk.problem === null);
  if (sound.length > 0) return sound;
  const [broken] = disks;
  const problem = broken?.problem ?? null;
  if (wish.disk !== undefined && problem !== null) {
    throw new AurochsError(problem.code, problem.message, problem.hint);
  }
  throw new AurochsError(
    'FAILED_PRECONDITION',
    broken === undefined
      ? 'this agent has no disk'
      : `no disk can be used; ${broken.path}: ${problem?.message ?? 'unknown'}`,
    'Add one: aurochs disk add DIRECTORY',
  );
}

/** Elsewhere there may be a disk that holds it when tags or nodes have ruled some out. */
function tooLarge(disks: readonly Disk[], wish: PlaceWish, need: PlaceNeed): AurochsError {
  const { volume, sizeBytes } = need;
  const isNarrowed = [wish.diskTags, wish.nodeTags, wish.nodes].some((each) => each?.length);
  const [largest] = [...disks].sort((a, b) => descending(a.fileBytesMax, b.fileBytesMax));
  if (!isNarrowed && largest !== undefined) return doesNotFit(volume, sizeBytes, largest);
  return new AurochsError(
    'NO_SPACE',
    `volume ${volume}: no disk with these tags and nodes holds ${formatSizeExact(sizeBytes)}`,
    'Ask for less, or for other tags or nodes.',
  );
}

function descending(a: bigint, b: bigint): number {
  return a === b ? 0 : a > b ? -1 : 1;
}
