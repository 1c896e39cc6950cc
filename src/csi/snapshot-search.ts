/**
 * Questions about the snapshots of all volumes. Each volume is asked: the truth is in its chain. One that cannot be asked
 * makes the question fail, as an answer without its snapshots would be a wrong one.
 */
import type { SnapshotBody, VolumeBody } from '../api/types.js';
import { AurochsError, hasCode, toAurochsError } from '../core/errors.js';
import { CSI_VOLUMES_ASKED_PARALLEL } from '../core/limits.js';
import { type AgentApi, orNull } from './agent-api.js';
import { isThere } from './answers.js';

/** The snapshots that a CO may know of, by id. */
async function snapshotsOf(agent: AgentApi, volume: string): Promise<SnapshotBody[]> {
  const snapshots = await agent.snapshots(volume);
  return snapshots.filter(({ removing }) => !removing).sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** None for a volume that went meanwhile; UNAVAILABLE for one that cannot be asked. */
export async function askVolume(agent: AgentApi, volume: string): Promise<SnapshotBody[]> {
  try {
    return await snapshotsOf(agent, volume);
  } catch (thrown) {
    // Its replica may be what is not found.
    if (hasCode(thrown, 'NOT_FOUND') && (await orNull(agent.volume(volume))) === null) return [];
    const { message } = toAurochsError(thrown);
    throw new AurochsError(
      'UNAVAILABLE',
      `volume ${volume} cannot be asked for its snapshots: ${message}`,
      'Repair or remove the volume.',
      { cause: thrown },
    );
  }
}

/** The snapshots of the volumes in their order, a few volumes at a time, as long as somebody reads on. */
export async function* allSnapshots(
  agent: AgentApi,
  volumes: readonly VolumeBody[],
): AsyncGenerator<SnapshotBody[]> {
  const names = volumes.filter(isThere).map(({ name }) => name);
  for (let first = 0; first < names.length; first += CSI_VOLUMES_ASKED_PARALLEL) {
    const some = names.slice(first, first + CSI_VOLUMES_ASKED_PARALLEL);
    yield* await Promise.all(some.map((name) => askVolume(agent, name)));
  }
}
