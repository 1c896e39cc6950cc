/** Where the programs of child.ts can be ended, in order. */
export const STEPS = [
  'host created',
  'listening',
  'creating a replica',
  'opening a volume',
  'volume open',
  'exported',
  'serving',
  'snapshot under way',
  'closing the volume',
  'closing the host',
  'closed',
] as const;
export type Step = (typeof STEPS)[number];
