/**
 * A node in a guest as a CO has it: an agent, a driver in a process of its own, a client of the driver, and the calls in
 * a volume's life with their usual arguments. Like a CO it repeats a call that will pass.
 */
import type { SnapshotMetadataCalls } from '../../../src/csi/calls.js';
import type { GetMetadataAllocatedResponse__Output } from '../../../src/csi/gen/csi/v1/GetMetadataAllocatedResponse.js';
import { CsiClient, repeated } from '../../support/csi-client.js';
import { CsiDriver } from '../../support/csi-processes.js';
import { type BLOCK, MOUNTED } from '../../support/csi-rig.js';
import { startInitiators } from './devices.js';
import { GuestAgent, mountDisk } from './guest-agent.js';

const SOCKET = '/run/aurochs/csi.sock';
const DIRECTORY = '/mnt/csi';
const BLOCK_BYTES = 4096;
const PATIENCE = { everyMs: 100, timeoutMs: 120_000 };

type Calls = CsiClient['call'];
type Capability = typeof MOUNTED | typeof BLOCK;

export interface NewVolume {
  sizeBytes: number;
  capability?: Capability;
  parameters?: Record<string, string>;
  /** Id of what it is restored from. */
  snapshotId?: string;
}

export interface Use {
  capability?: Capability;
  secrets?: Record<string, string>;
  readonly?: boolean;
}

export class CsiNode {
  readonly endpoint = `unix://${SOCKET}`;
  readonly directory = DIRECTORY;
  readonly agent: GuestAgent;
  readonly driver: CsiDriver;
  readonly client = new CsiClient(SOCKET);
  #nodeId = '';

  /** `agentEnvironment` comes on top of this process's. */
  constructor(agentEnvironment: Readonly<Record<string, string>> = {}) {
    this.agent = new GuestAgent([], agentEnvironment);
    this.driver = new CsiDriver(SOCKET, this.agent.apiSocket);
  }

  async start(): Promise<void> {
    await mountDisk();
    await startInitiators();
    await this.agent.start();
    await this.driver.start();
    this.#nodeId = (await this.client.call('NodeGetInfo', {})).nodeId as string;
  }

  async stop(): Promise<void> {
    this.client.close();
    await this.driver.kill();
    await this.agent.kill();
  }

  async restartAgent(): Promise<void> {
    await this.agent.kill();
    await this.agent.start();
  }

  readonly call: Calls = (method, request, options) =>
    repeated(() => this.client.call(method, request, options), PATIENCE);

  create(name: string, { sizeBytes, capability = MOUNTED, parameters, snapshotId }: NewVolume) {
    return this.call('CreateVolume', {
      name,
      capacityRange: { requiredBytes: String(sizeBytes) },
      volumeCapabilities: [capability],
      parameters: { frontend: 'iscsi', ...parameters },
      ...(snapshotId === undefined ? {} : { volumeContentSource: { snapshot: { snapshotId } } }),
    });
  }

  publish(volumeId: string, { capability = MOUNTED }: Use = {}) {
    const request = { volumeId, nodeId: this.#nodeId, volumeCapability: capability };
    return this.call('ControllerPublishVolume', request);
  }

  stage(volumeId: string, { capability = MOUNTED, secrets = {} }: Use = {}) {
    const stagingTargetPath = this.staging(volumeId);
    const request = { volumeId, stagingTargetPath, volumeCapability: capability, secrets };
    return this.call('NodeStageVolume', request);
  }

  mount(volumeId: string, pod: string, { capability = MOUNTED, readonly = false }: Use = {}) {
    return this.call('NodePublishVolume', {
      volumeId,
      stagingTargetPath: this.staging(volumeId),
      targetPath: this.target(volumeId, pod),
      volumeCapability: capability,
      readonly,
    });
  }

  unmount(volumeId: string, pod: string) {
    return this.call('NodeUnpublishVolume', { volumeId, targetPath: this.target(volumeId, pod) });
  }

  unstage(volumeId: string) {
    const request = { volumeId, stagingTargetPath: this.staging(volumeId) };
    return this.call('NodeUnstageVolume', request);
  }

  unpublish(volumeId: string) {
    return this.call('ControllerUnpublishVolume', { volumeId, nodeId: this.#nodeId });
  }

  /** From its creation to a pod; where the pod finds it. */
  async bring(name: string, pod: string, wanted: NewVolume & Use): Promise<string> {
    await this.create(name, wanted);
    await this.publish(name, wanted);
    await this.stage(name, wanted);
    await this.mount(name, pod, wanted);
    return this.target(name, pod);
  }

  /** From the pods back to nothing. */
  async takeAway(volumeId: string, ...pods: string[]): Promise<void> {
    for (const pod of pods) await this.unmount(volumeId, pod);
    await this.unstage(volumeId);
    await this.unpublish(volumeId);
    await this.call('DeleteVolume', { volumeId });
  }

  stats(volumeId: string, pod: string) {
    const request = { volumeId, volumePath: this.target(volumeId, pod) };
    return this.call('NodeGetVolumeStats', request);
  }

  async snapshot(sourceVolumeId: string, name: string): Promise<string> {
    const { snapshot } = await this.call('CreateSnapshot', { sourceVolumeId, name });
    return snapshot.snapshotId as string;
  }

  deleteSnapshot(snapshotId: string) {
    return this.call('DeleteSnapshot', { snapshotId });
  }

  async expand(volumeId: string, pod: string, sizeBytes: number): Promise<void> {
    await this.expandVolume(volumeId, sizeBytes);
    await this.expandMounted(volumeId, pod, sizeBytes);
  }

  expandVolume(volumeId: string, sizeBytes: number) {
    const capacityRange = { requiredBytes: String(sizeBytes) };
    return this.call('ControllerExpandVolume', { volumeId, capacityRange });
  }

  expandMounted(volumeId: string, pod: string, sizeBytes: number) {
    const capacityRange = { requiredBytes: String(sizeBytes) };
    const volumePath = this.target(volumeId, pod);
    return this.call('NodeExpandVolume', { volumeId, volumePath, capacityRange });
  }

  /** Numbers of the blocks in an answer about a snapshot's metadata, in its order. */
  async blocks(method: keyof SnapshotMetadataCalls, request: object): Promise<number[]> {
    const blocks: number[] = [];
    for await (const message of this.client.stream(method, request)) {
      const { blockMetadata } = message as GetMetadataAllocatedResponse__Output;
      for (const { byteOffset, sizeBytes } of blockMetadata) {
        const end = (Number(byteOffset) + Number(sizeBytes)) / BLOCK_BYTES;
        for (let block = Number(byteOffset) / BLOCK_BYTES; block < end; block += 1) {
          blocks.push(block);
        }
      }
    }
    return blocks;
  }

  staging(volumeId: string): string {
    return `${DIRECTORY}/staging/${volumeId}`;
  }

  target(volumeId: string, pod: string): string {
    return `${DIRECTORY}/pods/${pod}/${volumeId}`;
  }
}
