/** An agent in a guest, in the usual places but for its data, which is on the guest's own disk. */
import { mkdirSync } from 'node:fs';

import { AgentProcess } from '../../support/agent-process.js';
import { run } from '../../support/programs.js';

export const DISK_MOUNT = '/mnt/disk';
const READY_TIMEOUT_MS = 300_000;
/** Asking more often takes the agent's processor away while it starts. */
const POLL_MS = 100;
/** The guest is its own machine, so everything but the data is where an agent has it by default. */
const PLACES: Record<string, string> = {
  'agent.data': `${DISK_MOUNT}/aurochs`,
  'agent.api': '/run/aurochs/api.sock',
  'agent.nbd': '/run/aurochs/nbd.sock',
};

/** Mounts the ext4 that the host has made on /dev/vda. */
export async function mountDisk(): Promise<void> {
  mkdirSync(DISK_MOUNT, { recursive: true });
  await run('mount', '-t', 'ext4', '/dev/vda', DISK_MOUNT);
}

export class GuestAgent extends AgentProcess {
  constructor(
    private readonly extraArgs: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ) {
    super(
      { file: (name: string) => PLACES[name] ?? `${DISK_MOUNT}/${name}` },
      { readyTimeoutMs: READY_TIMEOUT_MS, pollMs: POLL_MS, env },
    );
  }

  override get flags(): string[] {
    return ['--data-dir', this.dataDirectory, ...this.extraArgs];
  }
}
