/**
 * CreateVolume. The agent's record of the volume is the only memory: a repeated call compares what is asked for with
 * what is there, and labels keep what the volume's own fields do not tell.
 */
import type { NodeBody, VolumeBody, VolumeCreateBody } from '../api/types.js';
import { AurochsError, hasCode, passesByItself } from '../core/errors.js';
import { type AgentApi, orNull } from './agent-api.js';
import { isThere, volumeAnswer } from './answers.js';
import type { CreateVolumeRequest__Output as CreateVolumeRequest } from './gen/csi/v1/CreateVolumeRequest.js';
import type { CreateVolumeResponse } from './gen/csi/v1/CreateVolumeResponse.js';
import type { VolumeContentSource__Output as VolumeContentSource } from './gen/csi/v1/VolumeContentSource.js';
import { nameLabel, snapshotPlaceOf, volumeNameFor, volumeNameOf } from './names.js';
import {
  type ClassParameters,
  firstDifference,
  labelsOf,
  NAME_LABEL,
  parseMutable,
  parseParameters,
  tagsOf,
} from './parameters.js';
import {
  capabilitiesOf,
  checkFileSystems,
  isWithin,
  newSize,
  requiredName,
  type SizeRange,
  sizeRangeOf,
} from './requests.js';
import { allowedNodes, nodesToTry } from './topology.js';

interface Source {
  volume: string;
  snapshot: string | null;
}

interface Wish {
  name: string;
  nameLabel: string;
  range: SizeRange | null;
  source: Source | null;
  parameters: ClassParameters;
  /** Besides those of the parameters. */
  labels: Record<string, string>;
  requirements: CreateVolumeRequest['accessibilityRequirements'];
}

export async function createVolume(
  agent: AgentApi,
  request: CreateVolumeRequest,
): Promise<CreateVolumeResponse> {
  const wish = wishOf(request);
  const nodes = await agent.nodes();
  refuseReplicas(wish, nodes);
  const there = await orNull(agent.volume(wish.name));
  const volume =
    there === null ? await createNew(agent, wish, nodes) : await reuse(agent, wish, nodes, there);
  return { volume: volumeAnswer(volume, nodes) };
}

function wishOf(request: CreateVolumeRequest): Wish {
  const name = requiredName(request.name);
  checkFileSystems(capabilitiesOf(request.volumeCapabilities));
  return {
    name: volumeNameFor(name),
    nameLabel: nameLabel(name),
    range: sizeRangeOf(request.capacityRange),
    source: sourceOf(request.volumeContentSource),
    parameters: parseParameters(request.parameters),
    labels: parseMutable(request.mutableParameters),
    requirements: request.accessibilityRequirements,
  };
}

function sourceOf(said: VolumeContentSource | null): Source | null {
  if (said === null) return null;
  if (said.snapshot) return snapshotPlaceOf(said.snapshot.snapshotId);
  if (said.volume) return { volume: volumeNameOf(said.volume.volumeId), snapshot: null };
  throw new AurochsError('INVALID_ARGUMENT', 'volume_content_source names no source');
}

function refuseReplicas({ parameters }: Wish, nodes: readonly NodeBody[]): void {
  const count = parameters.settings.numberOfReplicas;
  if (count === '1') return;
  throw new AurochsError(
    'LIMIT_EXCEEDED',
    `${count} replicas were asked for; the ${nodes.length} node(s) that there are hold one replica of a volume`,
    'Set numberOfReplicas to 1.',
  );
}

async function createNew(
  agent: AgentApi,
  wish: Wish,
  nodes: readonly NodeBody[],
): Promise<VolumeBody> {
  const sizeBytes = newSize(wish.range, await sourceBytes(agent, wish.source));
  const sets = nodesToTry(nodes, wish.requirements);
  try {
    return finished(await createInFirst(agent, bodyOf(wish, sizeBytes), sets, nodes.length));
  } catch (error) {
    if (!hasCode(error, 'ALREADY_EXISTS')) throw error;
    // Somebody else made it since we looked; what they made may be what is asked for.
    return reuse(agent, wish, nodes, await agent.volume(wish.name));
  }
}

async function sourceBytes(agent: AgentApi, source: Source | null): Promise<bigint | null> {
  if (source === null) return null;
  const { volume, snapshot } = source;
  const body =
    snapshot === null ? await agent.volume(volume) : await agent.snapshot(volume, snapshot);
  return BigInt(body.sizeBytes);
}

function bodyOf(wish: Wish, sizeBytes: bigint): VolumeCreateBody {
  const { settings, about } = wish.parameters;
  const { source } = wish;
  const labels = {
    ...labelsOf(settings),
    ...about,
    ...wish.labels,
    [NAME_LABEL]: wish.nameLabel,
  };
  const { volume, snapshot } = source ?? { volume: '', snapshot: null };
  return {
    name: wish.name,
    size: String(sizeBytes),
    labels,
    diskTags: tagsOf(settings.diskSelector),
    nodeTags: tagsOf(settings.nodeSelector),
    ...(source === null ? {} : { source: snapshot === null ? { volume } : { volume, snapshot } }),
  };
}

/** A set of nodes without a fitting place gives way to the next one. */
async function createInFirst(
  agent: AgentApi,
  body: VolumeCreateBody,
  sets: readonly NodeBody[][],
  nodesKnown: number,
): Promise<VolumeBody> {
  const [set = [], ...others] = sets;
  // All nodes are no restriction, and say nothing that could be out of date by then.
  const nodes = set.length < nodesKnown ? { nodes: set.map(({ id }) => id) } : {};
  try {
    return await agent.createVolume({ ...body, ...nodes });
  } catch (error) {
    const hasNoPlace = hasCode(error, 'NO_SPACE') || hasCode(error, 'FAILED_PRECONDITION');
    if (!hasNoPlace || others.length === 0) throw error;
    return createInFirst(agent, body, others, nodesKnown);
  }
}

/** The volume that is there already, if it is what is asked for. */
async function reuse(
  agent: AgentApi,
  wish: Wish,
  nodes: readonly NodeBody[],
  there: VolumeBody,
): Promise<VolumeBody> {
  const isOurs = there.labels[NAME_LABEL] === wish.nameLabel;
  const { problem } = there;
  // What passes by itself the agent goes on with.
  if (isOurs && there.state === 'creating' && problem !== null && !passesByItself(problem.code)) {
    await removeFailed(agent, there.name, problem);
  }
  const difference = isOurs
    ? differenceOf(wish, nodes, there)
    : 'was not made by this name through CSI';
  if (difference !== null) {
    throw new AurochsError(
      'ALREADY_EXISTS',
      `volume ${there.name} is there already, and ${difference}`,
      'Choose another name, or ask for what is there.',
    );
  }
  return finished(there);
}

function differenceOf(wish: Wish, nodes: readonly NodeBody[], there: VolumeBody): string | null {
  if (!isWithin(BigInt(there.sizeBytes), wish.range)) return 'has another size';
  const { source } = there;
  const isSameSource =
    source?.volume === wish.source?.volume && source?.snapshot === wish.source?.snapshot;
  if (!isSameSource) return 'was made of another source';
  const parameter = firstDifference(there.labels, wish.parameters.settings);
  if (parameter !== null) return `has another ${parameter}`;
  const allowed = new Set(allowedNodes(nodes, wish.requirements).map(({ id }) => id));
  const isAccessible = there.replicas.every(({ nodeId }) => allowed.has(nodeId));
  return isAccessible ? null : 'lies on another node';
}

/** Takes away what could not be made and says why, so that the next call begins anew. */
async function removeFailed(
  agent: AgentApi,
  name: string,
  { code, message, hint }: NonNullable<VolumeBody['problem']>,
): Promise<never> {
  await orNull(agent.deleteVolume(name));
  throw new AurochsError(code, `volume ${name} could not be made: ${message}`, hint);
}

function finished(volume: VolumeBody): VolumeBody {
  if (isThere(volume)) return volume;
  const { name, state, copyShare, problem } = volume;
  const share = copyShare === null ? '' : `, ${Math.floor(copyShare * 100)} % copied`;
  throw new AurochsError(
    'ABORTED',
    `volume ${name} is ${state === 'creating' ? 'being created' : 'being deleted'}${share}${problem === null ? '' : `; before: ${problem.message}`}`,
    problem?.hint ?? 'Repeat the call in a moment.',
  );
}
