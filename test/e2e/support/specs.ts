/** What a spec's guest has beyond the ordinary one. A spec that needs nothing is not listed. */
import type { GuestOptions } from './guest.js';

type Needs = Pick<GuestOptions, 'init' | 'memoryMib' | 'timeoutMs'>;

export const NEEDS: Record<string, Needs> = {
  'memory-pressure': { memoryMib: 768 },
  staging: { timeoutMs: 2_400_000 }, // Ten restarts of the agent, as below.
  devices: { timeoutMs: 3_600_000 }, // Forty restarts of the agent, which takes many seconds under emulation.
};
