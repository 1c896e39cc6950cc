/** Who the driver is, which services it serves, and whether its agent answers. */
import { AurochsError, toAurochsError } from '../core/errors.js';
import type { AgentApi } from './agent-api.js';
import type { IdentityCalls } from './calls.js';
import type { PluginCapability } from './gen/csi/v1/PluginCapability.js';
import { DRIVER_NAME } from './names.js';

/** Which services a process serves besides its identity. */
export type CsiMode = 'controller' | 'node' | 'all';
export const CSI_MODES: readonly CsiMode[] = ['controller', 'node', 'all'];

const OF_CONTROLLER = [
  'CONTROLLER_SERVICE',
  'GROUP_CONTROLLER_SERVICE',
  'SNAPSHOT_METADATA_SERVICE',
] as const;

type Health = Pick<AgentApi, 'health'>;

export function identityService(agent: Health, mode: CsiMode, version: string): IdentityCalls {
  const services = [
    'VOLUME_ACCESSIBILITY_CONSTRAINTS' as const,
    ...(mode === 'node' ? [] : OF_CONTROLLER),
  ];
  const capabilities: PluginCapability[] = [
    ...services.map((type) => ({ service: { type } })),
    { volumeExpansion: { type: 'ONLINE' } },
  ];
  return {
    GetPluginInfo: async () => ({ name: DRIVER_NAME, vendorVersion: version }),
    GetPluginCapabilities: async () => ({ capabilities }),
    Probe: async () => ({ ready: { value: await isReady(agent) } }),
  };
}

/** False while the agent starts; FAILED_PRECONDITION, as the specification wants, when it does not answer. */
async function isReady(agent: Health): Promise<boolean> {
  try {
    return (await agent.health()).state === 'ready';
  } catch (thrown) {
    const { message, hint } = toAurochsError(thrown);
    throw new AurochsError('FAILED_PRECONDITION', message, hint, { cause: thrown });
  }
}
