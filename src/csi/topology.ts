/** Nodes and zones as the topology of CSI. */
import type { NodeBody } from '../api/types.js';
import { AurochsError } from '../core/errors.js';
import type { Topology__Output as Topology } from './gen/csi/v1/Topology.js';
import type { TopologyRequirement__Output as TopologyRequirement } from './gen/csi/v1/TopologyRequirement.js';

export const NODE_KEY = 'topology.csi.aurochs.io/node';
export const ZONE_KEY = 'topology.csi.aurochs.io/zone';

/** Where a node is, by its id, which never changes. */
export function topologyOf({ id, zone }: NodeBody): Topology {
  return { segments: { [NODE_KEY]: id, ...(zone === null ? {} : { [ZONE_KEY]: zone }) } };
}

/** People may write a node's name where we write its id. */
export function fits(node: NodeBody, { segments }: Topology): boolean {
  return Object.entries(segments).every(([key, value]) => {
    if (key === NODE_KEY) return value === node.id || value === node.name;
    return key === ZONE_KEY && value === node.zone;
  });
}

/** The nodes that a volume may lie on; all when nothing is required. */
export function allowedNodes(
  nodes: readonly NodeBody[],
  requirement: TopologyRequirement | null,
): NodeBody[] {
  const requisite = requirement?.requisite ?? [];
  if (requisite.length === 0) return [...nodes];
  return nodes.filter((node) => requisite.some((topology) => fits(node, topology)));
}

/**
 * Sets of nodes to try one after the other: what is preferred, best first, then all that are allowed.
 * RESOURCE_EXHAUSTED, as the specification wants, when no node is.
 */
export function nodesToTry(
  nodes: readonly NodeBody[],
  requirement: TopologyRequirement | null,
): NodeBody[][] {
  const allowed = allowedNodes(nodes, requirement);
  if (allowed.length === 0) {
    throw new AurochsError(
      'LIMIT_EXCEEDED',
      'no node is where the accessibility requirements want the volume',
      `Nodes are told by ${NODE_KEY} and ${ZONE_KEY}.`,
    );
  }
  const preferred = (requirement?.preferred ?? []).map((topology) =>
    allowed.filter((node) => fits(node, topology)),
  );
  const narrower = preferred.filter((set) => set.length > 0 && set.length < allowed.length);
  return [...narrower, allowed];
}
