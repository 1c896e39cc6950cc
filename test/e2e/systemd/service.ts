/** The agent of a guest as systemd sees it. */
import { readFileSync } from 'node:fs';

import { attempt, run, type ProgramResult } from '../../support/programs.js';
import { eventually } from '../support/devices.js';

export const UNIT = 'aurochs-agent.service';
/** The mount points of the two file systems, and what is written there before the shutdown. */
export const MOUNTS = { netdev: '/mnt/db', plain: '/mnt/logs' } as const;
export const VOLUMES = { netdev: 'db', plain: 'logs' } as const;
export const CONTENT = 'what was in memory when the machine was shut down'.repeat(10_000);

export function devicePath(volume: string): string {
  return `/dev/aurochs/${volume}`;
}

export const agent = {
  cli: (...args: string[]): Promise<ProgramResult> => attempt('/usr/local/bin/aurochs', ...args),
};

export async function property(name: string): Promise<string> {
  return (await run('systemctl', 'show', UNIT, '--value', '-p', name)).trim();
}

export async function untilActive(): Promise<void> {
  await eventually('the agent is active', async () =>
    (await property('ActiveState')) === 'active' ? true : undefined,
  );
}

export async function startTime(): Promise<number> {
  return Number(await property('ExecMainStartTimestampMonotonic'));
}

/** Like eventually, for what takes longer than a minute under emulation. */
export async function restartedAfter(startedBefore: number): Promise<void> {
  await eventually('systemd has started it again', async () =>
    (await startTime()) > startedBefore && (await property('ActiveState')) === 'active'
      ? true
      : undefined,
  );
}

/** Whether ext4 on the device was unmounted in order: nothing for its journal to recover. */
export async function wasUnmounted(device: string): Promise<boolean> {
  const superblock = await run('dumpe2fs', '-h', device);
  return !superblock.includes('needs_recovery') && /Filesystem state:\s+clean/.test(superblock);
}

export function mountOptions(mountPoint: string): string | null {
  const line = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((each) => each.split(' ')[1] === mountPoint);
  return line?.split(' ')[3] ?? null;
}
