/** What a spec's guest has beyond the ordinary one. A spec that needs nothing is not listed. */
import { buildSanity } from '../../support/csi-sanity.js';
import type { GuestOptions } from './guest.js';

interface Needs extends Pick<GuestOptions, 'init' | 'memoryMib' | 'timeoutMs'> {
  /** On this machine, before the guest boots. */
  prepareHost?: () => unknown;
}

export const NEEDS: Record<string, Needs> = {
  'csi-sanity': { prepareHost: buildSanity, timeoutMs: 2_400_000 }, // A hundred volumes and their devices.
  'csi-kill': { timeoutMs: 3_000_000 }, // Some forty restarts of the agent, as below.
  csi: { timeoutMs: 2_400_000 }, // Fifteen restarts of the agent, as below.
  'memory-pressure': { memoryMib: 768 },
  staging: { timeoutMs: 2_400_000 }, // Ten restarts of the agent, as below.
  devices: { timeoutMs: 3_600_000 }, // Forty restarts of the agent, which takes many seconds under emulation.
};
