/** The node's calls. The agent of this machine formats, mounts and binds; mounts outlive both of us. */
import type { UsageBody, VolumeBindBody, VolumeStageBody } from '../api/types.js';
import { AurochsError } from '../core/errors.js';
import type { FileSystemType } from '../volume/model.js';
import { isPlainPath } from '../volume/names.js';
import { type AgentApi, orNull } from './agent-api.js';
import type { NodeCalls } from './calls.js';
import { encryptionOf } from './encryption.js';
import type { VolumeUsage } from './gen/csi/v1/VolumeUsage.js';
import { locked } from './locking.js';
import { isVolumeName, shown, volumeNameOf } from './names.js';
import { mkfsArguments, settingsOf } from './parameters.js';
import {
  type Capability,
  capabilityOf,
  checkFileSystems,
  outOfRange,
  required,
  sizeRangeOf,
} from './requests.js';
import { topologyOf } from './topology.js';

type Handler<M extends keyof NodeCalls> = (
  driver: { agent: AgentApi; nodeId: string },
  request: Parameters<NodeCalls[M]>[0],
) => ReturnType<NodeCalls[M]>;

const CAPABILITIES = [
  'STAGE_UNSTAGE_VOLUME',
  'GET_VOLUME_STATS',
  'EXPAND_VOLUME',
  'VOLUME_CONDITION',
  'SINGLE_NODE_MULTI_WRITER',
] as const;

export function nodeService(agent: AgentApi, nodeId: string): NodeCalls {
  const driver = { agent, nodeId };
  const calls: NodeCalls = {
    NodeStageVolume: (request) => stage(driver, request),
    NodeUnstageVolume: (request) => unstage(driver, request),
    NodePublishVolume: (request) => publish(driver, request),
    NodeUnpublishVolume: (request) => unpublish(driver, request),
    NodeGetVolumeStats: (request) => stats(driver, request),
    NodeExpandVolume: (request) => expand(driver, request),
    NodeGetInfo: (request) => info(driver, request),
    NodeGetCapabilities: async () => ({
      capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })),
    }),
  };
  const volume = ({ volumeId }: { volumeId: string }): string[] => [`volume ${volumeId}`];
  return locked(calls, {
    NodeStageVolume: volume,
    NodeUnstageVolume: volume,
    NodePublishVolume: volume,
    NodeUnpublishVolume: volume,
    NodeExpandVolume: volume,
    // It changes nothing, but a file system that does not answer would keep each call, and its connection to the agent.
    NodeGetVolumeStats: ({ volumeId, volumePath }) => [`stats ${volumeId} ${volumePath}`],
  });
}

const stage: Handler<'NodeStageVolume'> = async ({ agent, nodeId }, request) => {
  required('volume_id', request.volumeId);
  const path = required('staging_target_path', request.stagingTargetPath);
  const capability = capabilityOf(request.volumeCapability);
  checkFileSystems([capability]);
  const { name, labels, publications } = await agent.volume(volumeNameOf(request.volumeId));
  const settings = settingsOf(labels, request.volumeContext);
  const published = publications.find((each) => each.nodeId === nodeId);
  const body: VolumeStageBody = {
    path,
    kind: capability.kind,
    readOnly: capability.readOnly || published?.readOnly === true,
    ...(settings.encrypted === 'true' ? { encryption: encryptionOf(request.secrets) } : {}),
    ...(capability.kind === 'block' ? {} : fileSystemOf(capability, settings)),
  };
  await agent.stageVolume(name, body);
  return {};
};

function fileSystemOf(
  { fsType, mountFlags }: Capability,
  settings: { fsType: string; mkfsParams: string },
): Partial<VolumeStageBody> {
  const formatOptions = mkfsArguments(settings.mkfsParams);
  return {
    fileSystem: (fsType === '' ? settings.fsType : fsType) as FileSystemType,
    ...(formatOptions.length === 0 ? {} : { formatOptions }),
    ...(mountFlags.length === 0 ? {} : { mountOptions: mountFlags }),
  };
}

/** OK for a volume that is gone: it cannot go before its device, nor that before its mounts. */
const unstage: Handler<'NodeUnstageVolume'> = async ({ agent }, request) => {
  const volumeId = required('volume_id', request.volumeId);
  const path = required('staging_target_path', request.stagingTargetPath);
  if (isVolumeName(volumeId)) await orNull(agent.unstageVolume(volumeId, { path }));
  return {};
};

const publish: Handler<'NodePublishVolume'> = async ({ agent }, request) => {
  required('volume_id', request.volumeId);
  const targetPath = required('target_path', request.targetPath);
  const capability = capabilityOf(request.volumeCapability);
  if (request.stagingTargetPath === '') {
    throw new AurochsError(
      'FAILED_PRECONDITION',
      'staging_target_path is missing',
      'Stage the volume first (NodeStageVolume).',
    );
  }
  const { kind, mode, mountFlags } = capability;
  const body: VolumeBindBody = {
    stagingPath: request.stagingTargetPath,
    targetPath,
    kind,
    readOnly: request.readonly || capability.readOnly,
    ...(mode === 'SINGLE_NODE_SINGLE_WRITER' ? { exclusive: true } : {}),
    ...(mountFlags.length === 0 ? {} : { mountOptions: mountFlags }),
  };
  await agent.bindVolume(volumeNameOf(request.volumeId), body);
  return {};
};

/** As for unstage. */
const unpublish: Handler<'NodeUnpublishVolume'> = async ({ agent }, request) => {
  const volumeId = required('volume_id', request.volumeId);
  const targetPath = required('target_path', request.targetPath);
  if (isVolumeName(volumeId)) await orNull(agent.unbindVolume(volumeId, { targetPath }));
  return {};
};

const stats: Handler<'NodeGetVolumeStats'> = async ({ agent }, request) => {
  required('volume_id', request.volumeId);
  const path = placeOf(request.volumeId, required('volume_path', request.volumePath));
  const usage = await agent.volumeUsage(volumeNameOf(request.volumeId), path);
  return {
    usage: usageAnswer(usage),
    volumeCondition: {
      abnormal: usage.abnormal !== null,
      message: usage.abnormal ?? 'the volume can be used',
    },
  };
};

/** NOT_FOUND for a path at which no volume can be: the specification asks whether it is there. */
function placeOf(volumeId: string, path: string): string {
  if (isPlainPath(path)) return path;
  throw new AurochsError('NOT_FOUND', `volume ${volumeId} is not at ${shown(path)}`);
}

function usageAnswer({ bytes, inodes }: UsageBody): VolumeUsage[] {
  const ofBytes: VolumeUsage = { unit: 'BYTES', ...bytes };
  return inodes === null ? [ofBytes] : [ofBytes, { unit: 'INODES', ...inodes }];
}

const expand: Handler<'NodeExpandVolume'> = async ({ agent }, request) => {
  required('volume_id', request.volumeId);
  const volumePath = required('volume_path', request.volumePath);
  const range = sizeRangeOf(request.capacityRange);
  if (request.volumeCapability !== null) capabilityOf(request.volumeCapability);
  const at = request.stagingTargetPath === '' ? volumePath : request.stagingTargetPath;
  const path = placeOf(request.volumeId, at);
  const { sizeBytes } = await agent.growStaged(volumeNameOf(request.volumeId), { path });
  if (range !== null && BigInt(sizeBytes) < range.requiredBytes) {
    throw outOfRange('the volume is smaller than required_bytes; the controller expands it');
  }
  return { capacityBytes: sizeBytes };
};

/** The zone is what the agent was started with, which may be another than when we were. */
const info: Handler<'NodeGetInfo'> = async ({ agent, nodeId }) => {
  const node = (await agent.nodes()).find(({ id }) => id === nodeId);
  if (node === undefined) {
    throw new AurochsError('UNAVAILABLE', `the agent does not know its node ${nodeId} any more`);
  }
  // No bound of ours: the kernel makes devices as it needs them.
  return { nodeId, maxVolumesPerNode: 0, accessibleTopology: topologyOf(node) };
};
