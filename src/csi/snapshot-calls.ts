/** The controller's calls about snapshots of one volume. */
import type { SnapshotBody } from '../api/types.js';
import { AurochsError, hasCode } from '../core/errors.js';
import { type AgentApi, orNull } from './agent-api.js';
import { snapshotAnswer } from './answers.js';
import type { ControllerCalls } from './calls.js';
import {
  isVolumeName,
  parseSnapshotId,
  snapshotIdOf,
  snapshotNameFor,
  volumeNameOf,
} from './names.js';
import { pageOf, pageSize, startOf } from './paging.js';
import { checkSnapshotParameters } from './parameters.js';
import { required, requiredName } from './requests.js';
import { allSnapshots, askVolume } from './snapshot-search.js';

type SnapshotCalls = Pick<ControllerCalls, 'CreateSnapshot' | 'DeleteSnapshot' | 'ListSnapshots'>;
type Handler<M extends keyof SnapshotCalls> = (
  agent: AgentApi,
  request: Parameters<SnapshotCalls[M]>[0],
) => ReturnType<SnapshotCalls[M]>;

export function snapshotCalls(agent: AgentApi): SnapshotCalls {
  return {
    CreateSnapshot: (request) => create(agent, request),
    DeleteSnapshot: (request) => remove(agent, request),
    ListSnapshots: (request) => list(agent, request),
  };
}

const create: Handler<'CreateSnapshot'> = async (agent, request) => {
  required('source_volume_id', request.sourceVolumeId);
  const name = snapshotNameFor(requiredName(request.name));
  checkSnapshotParameters(request.parameters);
  const volume = volumeNameOf(request.sourceVolumeId);
  const there = await find(agent, volume, name);
  if (there !== null) return { snapshot: snapshotAnswer(there) };
  await refuseTaken(agent, volume, name);
  return { snapshot: snapshotAnswer(await take(agent, volume, name)) };
};

async function find(agent: AgentApi, volume: string, name: string): Promise<SnapshotBody | null> {
  const found = (await agent.snapshots(volume)).find((snapshot) => snapshot.name === name);
  if (found === undefined) return null;
  if (!found.removing) return found;
  throw new AurochsError(
    'ABORTED',
    `snapshot ${name} of volume ${volume} is being deleted`,
    'Repeat the call when its space is merged.',
  );
}

/**
 * A name is the driver's, not the volume's: ALREADY_EXISTS when another volume is known to have a snapshot of it. Only those
 * are asked, and one that cannot be asked is passed over: it must not keep snapshots of others from being taken. What
 * is missed that way mixes nothing up, as the id of a snapshot holds its volume.
 */
async function refuseTaken(agent: AgentApi, volume: string, name: string): Promise<void> {
  for (const seen of await agent.snapshotsLastSeen(name)) {
    if (seen.volume === volume || !(await isStillThere(agent, seen))) continue;
    throw new AurochsError(
      'ALREADY_EXISTS',
      `there is a snapshot ${name} of another volume, ${seen.volume}`,
      'Choose another name.',
    );
  }
}

async function isStillThere(agent: AgentApi, { volume, id }: SnapshotBody): Promise<boolean> {
  try {
    return !(await agent.snapshot(volume, id)).removing;
  } catch {
    return false;
  }
}

async function take(agent: AgentApi, volume: string, name: string): Promise<SnapshotBody> {
  try {
    return await agent.createSnapshot(volume, { name });
  } catch (error) {
    if (!hasCode(error, 'ALREADY_EXISTS')) throw error;
    // Somebody else took it since we looked.
    return agent.snapshot(volume, name);
  }
}

/** OK for what is gone. */
const remove: Handler<'DeleteSnapshot'> = async (agent, { snapshotId }) => {
  const place = parseSnapshotId(required('snapshot_id', snapshotId));
  if (place === null) return {};
  const { volume, snapshot } = place;
  const found = await orNull(agent.snapshot(volume, snapshot));
  if (found === null || found.removing) return {};
  if (found.group !== null) {
    throw new AurochsError(
      'INVALID_ARGUMENT',
      `snapshot ${snapshotId} is part of the group ${found.group}`,
      'Delete the group.',
    );
  }
  await orNull(agent.deleteSnapshot(volume, snapshot));
  return {};
};

const list: Handler<'ListSnapshots'> = async (agent, request) => {
  const size = pageSize(request);
  const start = startOf(request, (key) => parseSnapshotId(key) !== null);
  const found = await matching(agent, request, start, size);
  const { entries, nextToken } = pageOf(found, size, keyOf);
  return {
    entries: entries.map((snapshot) => ({ snapshot: snapshotAnswer(snapshot) })),
    nextToken,
  };
};

function keyOf({ volume, id }: SnapshotBody): string {
  return snapshotIdOf({ volume, snapshot: id });
}

/** In the order of volumes, then ids, behind `start`; one more than a page has, if there are as many. */
async function matching(
  agent: AgentApi,
  { snapshotId, sourceVolumeId }: Parameters<SnapshotCalls['ListSnapshots']>[0],
  start: string,
  size: number,
): Promise<SnapshotBody[]> {
  const after = parseSnapshotId(start) ?? { volume: '', snapshot: '' };
  const isAfter = ({ volume, id }: SnapshotBody): boolean =>
    volume > after.volume || (volume === after.volume && id > after.snapshot);
  if (snapshotId !== '') {
    const place = parseSnapshotId(snapshotId);
    if (place === null || (sourceVolumeId !== '' && sourceVolumeId !== place.volume)) return [];
    const ofVolume = await askVolume(agent, place.volume);
    return ofVolume.filter(({ id }) => id === place.snapshot).filter(isAfter);
  }
  if (sourceVolumeId !== '') {
    if (!isVolumeName(sourceVolumeId)) return [];
    return (await askVolume(agent, sourceVolumeId)).filter(isAfter);
  }
  const volumes = (await agent.volumes())
    .filter(({ name }) => name >= after.volume)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const found: SnapshotBody[] = [];
  for await (const snapshots of allSnapshots(agent, volumes)) {
    found.push(...snapshots.filter(isAfter));
    if (found.length > size) break;
  }
  return found;
}
