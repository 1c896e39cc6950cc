/** A node of its own within a guest: a network namespace with an address, and an agent in it. */
import { writeFileSync } from 'node:fs';

import { run } from '../../support/programs.js';
import { AgentProcess } from '../../support/agent-process.js';
import { DISK_MOUNT } from './guest-agent.js';

const READY_TIMEOUT_MS = 300_000;
const POLL_MS = 100;
const PORT = 3260;

export class NetworkNode extends AgentProcess {
  /** `number` is 1 to 254; the guest itself is 10.99.<number>.1 to it. */
  constructor(
    readonly name: string,
    private readonly number: number,
  ) {
    super(
      { file: (file: string) => `${DISK_MOUNT}/${name}.${file}` },
      {
        launcher: ['ip', 'netns', 'exec', name],
        iscsiPortal: portalOf(number),
        args: ['--discovery-chap-file', discoveryChap(name)],
        readyTimeoutMs: READY_TIMEOUT_MS,
        pollMs: POLL_MS,
      },
    );
  }

  get portal(): string {
    return portalOf(this.number);
  }

  /** The namespace, a cable between it and the guest, and what others must know to ask for its targets. */
  async connect(): Promise<void> {
    const { name, number } = this;
    const chap = JSON.stringify({ user: 'discovery', secret: 'who asks must know' });
    writeFileSync(discoveryChap(name), chap, { mode: 0o600 });
    const inside = ['netns', 'exec', name, 'ip'];
    await run('ip', 'netns', 'add', name);
    await run(
      'ip',
      'link',
      'add',
      `to-${name}`,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      name,
    );
    await run('ip', 'address', 'add', `10.99.${number}.1/24`, 'dev', `to-${name}`);
    await run('ip', 'link', 'set', `to-${name}`, 'up');
    await run('ip', ...inside, 'address', 'add', `${addressOf(number)}/24`, 'dev', 'eth0');
    await run('ip', ...inside, 'link', 'set', 'eth0', 'up');
    await run('ip', ...inside, 'link', 'set', 'lo', 'up');
  }

  /** As if somebody had pulled the cable, or put it back. */
  async plug(isIn: boolean): Promise<void> {
    await run('ip', 'link', 'set', `to-${this.name}`, isIn ? 'up' : 'down');
  }
}

function addressOf(number: number): string {
  return `10.99.${number}.2`;
}

function portalOf(number: number): string {
  return `${addressOf(number)}:${PORT}`;
}

function discoveryChap(name: string): string {
  return `${DISK_MOUNT}/${name}.discovery`;
}
