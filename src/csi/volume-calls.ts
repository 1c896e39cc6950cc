/** The controller's calls about volumes as such: from their creation to their deletion. */
import type { DiskBody, NodeBody } from '../api/types.js';
import { AurochsError, hasCode } from '../core/errors.js';
import { VOLUME_BYTES_MIN } from '../core/limits.js';
import type { DeviceFrontend } from '../volume/model.js';
import { type AgentApi, orNull } from './agent-api.js';
import { condition, isThere, publishedNodes, volumeAnswer } from './answers.js';
import type { ControllerCalls } from './calls.js';
import { isVolumeName, volumeNameOf } from './names.js';
import { pageOf, pageSize, startOf } from './paging.js';
import {
  firstDifference,
  parseMutable,
  parseParameters,
  settingsOf,
  tagsOf,
} from './parameters.js';
import {
  capabilitiesOf,
  capabilityOf,
  checkFileSystems,
  isWithin,
  outOfRange,
  required,
  roundUp,
  sizeRangeOf,
} from './requests.js';
import { fits } from './topology.js';
import { createVolume } from './volume-creation.js';

type VolumeCalls = Pick<
  ControllerCalls,
  | 'CreateVolume'
  | 'DeleteVolume'
  | 'ControllerPublishVolume'
  | 'ControllerUnpublishVolume'
  | 'ValidateVolumeCapabilities'
  | 'ListVolumes'
  | 'GetCapacity'
  | 'ControllerExpandVolume'
  | 'ControllerGetVolume'
  | 'ControllerModifyVolume'
>;
type Handler<M extends keyof VolumeCalls> = (
  agent: AgentApi,
  request: Parameters<VolumeCalls[M]>[0],
) => ReturnType<VolumeCalls[M]>;

export function volumeCalls(agent: AgentApi): VolumeCalls {
  return {
    CreateVolume: (request) => createVolume(agent, request),
    DeleteVolume: (request) => deleteVolume(agent, request),
    ControllerPublishVolume: (request) => publish(agent, request),
    ControllerUnpublishVolume: (request) => unpublish(agent, request),
    ValidateVolumeCapabilities: (request) => validate(agent, request),
    ListVolumes: (request) => list(agent, request),
    GetCapacity: (request) => capacity(agent, request),
    ControllerExpandVolume: (request) => expand(agent, request),
    ControllerGetVolume: (request) => get(agent, request),
    ControllerModifyVolume: (request) => modify(agent, request),
  };
}

/** OK for what is gone. A volume with snapshots stays: they are parts of it and would go, too. */
const deleteVolume: Handler<'DeleteVolume'> = async (agent, { volumeId }) => {
  required('volume_id', volumeId);
  if (isVolumeName(volumeId)) await orNull(agent.deleteVolume(volumeId, 'refuse'));
  return {};
};

const publish: Handler<'ControllerPublishVolume'> = async (agent, request) => {
  required('volume_id', request.volumeId);
  required('node_id', request.nodeId);
  const { readOnly, shared } = capabilityOf(request.volumeCapability);
  const { name, labels } = await agent.volume(volumeNameOf(request.volumeId));
  const { frontend } = settingsOf(labels, request.volumeContext);
  await agent.publishVolume(name, {
    node: request.nodeId,
    readOnly: readOnly || request.readonly,
    shared,
    frontend: frontend as DeviceFrontend,
  });
  return { publishContext: {} };
};

/** OK for a volume or a node that is gone: nothing is published then. */
const unpublish: Handler<'ControllerUnpublishVolume'> = async (agent, { volumeId, nodeId }) => {
  required('volume_id', volumeId);
  const node = nodeId === '' ? {} : { node: nodeId };
  if (isVolumeName(volumeId)) await orNull(agent.unpublishVolume(volumeId, node));
  return {};
};

const validate: Handler<'ValidateVolumeCapabilities'> = async (agent, request) => {
  required('volume_id', request.volumeId);
  if (request.volumeCapabilities.length === 0) capabilitiesOf([]);
  const { labels } = await agent.volume(volumeNameOf(request.volumeId));
  const { volumeContext, volumeCapabilities, parameters, mutableParameters } = request;
  try {
    checkFileSystems(capabilitiesOf(volumeCapabilities));
    const { settings } = parseParameters(parameters);
    const other = Object.keys(parameters).length === 0 ? null : firstDifference(labels, settings);
    if (other !== null) return { message: `the volume has another ${other}` };
    parseMutable(mutableParameters);
  } catch (error) {
    if (!hasCode(error, 'INVALID_ARGUMENT')) throw error;
    return { message: (error as AurochsError).message };
  }
  return { confirmed: { volumeContext, volumeCapabilities, parameters, mutableParameters } };
};

const list: Handler<'ListVolumes'> = async (agent, request) => {
  const size = pageSize(request);
  const start = startOf(request, isVolumeName);
  const nodes = await agent.nodes();
  const volumes = (await agent.volumes())
    .filter((volume) => isThere(volume) && volume.name > start)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const { entries, nextToken } = pageOf(volumes, size, ({ name }) => name);
  return {
    entries: entries.map((volume) => ({
      volume: volumeAnswer(volume, nodes),
      status: { publishedNodeIds: publishedNodes(volume), volumeCondition: condition(volume) },
    })),
    nextToken,
  };
};

const get: Handler<'ControllerGetVolume'> = async (agent, { volumeId }) => {
  required('volume_id', volumeId);
  const volume = await agent.volume(volumeNameOf(volumeId));
  return {
    volume: volumeAnswer(volume, await agent.nodes()),
    status: { publishedNodeIds: publishedNodes(volume), volumeCondition: condition(volume) },
  };
};

/** Of the disks on which a volume with these parameters may lie. A volume lies on one disk. */
const capacity: Handler<'GetCapacity'> = async (agent, request) => {
  checkFileSystems(request.volumeCapabilities.map(capabilityOf));
  const { settings } = parseParameters(request.parameters);
  const nodeTags = tagsOf(settings.nodeSelector);
  const topology = request.accessibleTopology;
  const nodes = (await agent.nodes()).filter(
    (node) => hasTags(node, nodeTags) && (topology === null || fits(node, topology)),
  );
  const usable = settings.numberOfReplicas === '1' ? await usableDisks(agent, nodes) : [];
  const disks = usable.filter((disk) => hasTags(disk, tagsOf(settings.diskSelector)));
  const sizes = disks.map(({ freeBytes, fileBytesMax }) => least(freeBytes, fileBytesMax));
  return {
    availableCapacity: String(disks.reduce((sum, disk) => sum + BigInt(disk.freeBytes), 0n)),
    maximumVolumeSize: { value: String(sizes.reduce((a, b) => (a > b ? a : b), 0n)) },
    minimumVolumeSize: { value: String(VOLUME_BYTES_MIN) },
  };
};

async function usableDisks(agent: AgentApi, nodes: readonly NodeBody[]): Promise<DiskBody[]> {
  const ids = new Set(nodes.map(({ id }) => id));
  return (await agent.disks()).filter(({ nodeId, problem }) => ids.has(nodeId) && problem === null);
}

function hasTags({ tags }: { tags: readonly string[] }, wanted: readonly string[]): boolean {
  return wanted.every((tag) => tags.includes(tag));
}

function least(a: string, b: string): bigint {
  return BigInt(a) < BigInt(b) ? BigInt(a) : BigInt(b);
}

const expand: Handler<'ControllerExpandVolume'> = async (agent, request) => {
  required('volume_id', request.volumeId);
  const range = sizeRangeOf(request.capacityRange);
  if (range === null) throw new AurochsError('INVALID_ARGUMENT', 'capacity_range is missing');
  const capability =
    request.volumeCapability === null ? null : capabilityOf(request.volumeCapability);
  const volume = await agent.volume(volumeNameOf(request.volumeId));
  // A volume never becomes smaller, so one that is large enough is what is asked for.
  const now = BigInt(volume.sizeBytes);
  const wanted = now >= range.requiredBytes ? now : roundUp(range.requiredBytes);
  if (!isWithin(wanted, range)) throw outOfRange('no size of this volume is within limit_bytes');
  const { sizeBytes } =
    wanted === now ? volume : await agent.expandVolume(volume.name, { size: String(wanted) });
  // A block device has no file system that would have to grow with it.
  return { capacityBytes: sizeBytes, nodeExpansionRequired: capability?.kind !== 'block' };
};

/** Changes the labels that it names and no others. */
const modify: Handler<'ControllerModifyVolume'> = async (agent, request) => {
  required('volume_id', request.volumeId);
  const labels = parseMutable(request.mutableParameters);
  const { name } = await agent.volume(volumeNameOf(request.volumeId));
  if (Object.keys(labels).length > 0) await agent.setVolumeLabels(name, { labels });
  return {};
};
