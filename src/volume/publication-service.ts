/** Which nodes may use a volume. A publication attaches the volume, with a device; the last one that goes detaches it. */
import { AurochsError } from '../core/errors.js';
import { PUBLICATIONS_MAX } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import type { DeviceFrontend, Publication, Volume } from './model.js';
import type { NodeService } from './node-service.js';
import type { Store } from './ports.js';
import type { VolumeService } from './volume-service.js';
import { changeVolume } from './waiting.js';

export interface PublicationServiceDeps {
  store: Store;
  volumes: VolumeService;
  nodes: NodeService;
  log: Logger;
}

export interface PublishVolume {
  /** Id or name. */
  node: string;
  readOnly?: boolean;
  /** Other nodes may have it at the same time, for reading. */
  shared?: boolean;
  frontend?: DeviceFrontend;
}

export class PublicationService {
  constructor(private readonly deps: PublicationServiceDeps) {}

  /** ALREADY_EXISTS when the node has it in another way, FAILED_PRECONDITION when another node has it. */
  async publish(name: string, request: PublishVolume): Promise<Volume> {
    const { id: nodeId, name: node } = await this.deps.nodes.find(request.node);
    const { readOnly = false, shared = false, frontend = 'auto' } = request;
    const wanted: Publication = { nodeId, readOnly, shared };
    const published = await this.deps.volumes.attachAs(
      name,
      { readOnly, device: { frontend } },
      (volume) => publicationsWith(volume, wanted),
    );
    this.deps.log.info('volume published', { volume: name, node, readOnly, shared });
    return published;
  }

  /** From one node, or from all. BUSY while the device is used. */
  async unpublish(name: string, node?: string): Promise<Volume> {
    const { volumes, log } = this.deps;
    const nodeId = node === undefined ? null : await this.#idOf(node);
    const staying = ({ publications }: Volume): Publication[] =>
      nodeId === null ? [] : publications.filter((each) => each.nodeId !== nodeId);
    const before = await volumes.get(name);
    const left = staying(before).length;
    // Nothing to end: it is elsewhere, or was attached by hand.
    if (before.desired.attached && left === before.publications.length) return before;
    const after =
      left === 0
        ? await volumes.detachAs(name, (volume) => {
            if (staying(volume).length > 0) throw overtaken(name);
            return [];
          })
        : await this.#keep(name, staying);
    log.info('volume unpublished', { volume: name, node: node ?? 'all' });
    return after;
  }

  async #keep(name: string, staying: (volume: Volume) => Publication[]): Promise<Volume> {
    const stored = await changeVolume(this.deps.store, name, (volume) => {
      const publications = staying(volume);
      if (publications.length === 0) throw overtaken(name);
      return { ...volume, publications };
    });
    return stored.value;
  }

  /** A node that is gone has publications to end, too. */
  async #idOf(node: string): Promise<string> {
    const known = (await this.deps.nodes.list()).find(
      ({ id, name }) => id === node || name === node,
    );
    return known?.id ?? node;
  }
}

function publicationsWith({ name, publications }: Volume, wanted: Publication): Publication[] {
  const same = publications.find(({ nodeId }) => nodeId === wanted.nodeId);
  if (same !== undefined) {
    if (same.readOnly === wanted.readOnly && same.shared === wanted.shared) return publications;
    throw new AurochsError(
      'ALREADY_EXISTS',
      `volume ${name} is published to node ${same.nodeId} ${inWords(same)}, not ${inWords(wanted)}`,
      'Unpublish it there first.',
    );
  }
  const alone = [wanted, ...publications].some(({ shared, readOnly }) => !shared || !readOnly);
  const [other] = publications;
  if (other !== undefined && alone) {
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${name} is published to node ${other.nodeId} ${inWords(other)}`,
      'Unpublish it there first. Several nodes may only read it, and all of them must share it.',
    );
  }
  if (publications.length >= PUBLICATIONS_MAX) {
    throw new AurochsError(
      'LIMIT_EXCEEDED',
      `volume ${name} is published to ${PUBLICATIONS_MAX} nodes already`,
    );
  }
  return [...publications, wanted];
}

/** Whether the volume is detached depends on what others publish and unpublish at the same moment. */
function overtaken(volume: string): AurochsError {
  return new AurochsError(
    'BUSY',
    `volume ${volume}: somebody else changed its publications at the same moment`,
    'Try again.',
  );
}

function inWords({ readOnly, shared }: Publication): string {
  return `${readOnly ? 'read-only' : 'for writing'}${shared ? ', shared' : ''}`;
}
