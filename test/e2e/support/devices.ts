/** Block devices that the guest's kernel makes of volumes, by hand: what a person would type. */
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';

import type { GuestAgent } from './guest-agent.js';
import { attempt, run } from '../../support/programs.js';

const CONDITION_TIMEOUT_MS = 240_000;
const POLL_MS = 20;
const IQN_PREFIX = 'iqn.2026-11.io.aurochs:';
const SESSIONS = '/sys/class/iscsi_session';

/** Waits for what the kernel does in its own time. */
export async function eventually<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const deadline = Date.now() + CONDITION_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`${what}: not after ${CONDITION_TIMEOUT_MS / 1000} s`);
}

/** What an initiator on this machine needs. */
export async function startInitiators(): Promise<void> {
  await run('modprobe', '-a', 'iscsi_tcp', 'nbd', 'sd_mod');
  await run('iscsid');
}

/** The lines that `aurochs volume attach` prints for a client, attached already or not. */
export async function printedLines(
  agent: Pick<GuestAgent, 'cli'>,
  volume: string,
): Promise<string[]> {
  const { stdout } = await agent.cli('volume', 'show', volume);
  return stdout.split('\n').map((line) => line.trim());
}

/** Runs the printed iscsiadm lines; resolves with the disk that appears. */
export async function logInByPrintedLines(lines: readonly string[]): Promise<string> {
  const before = iscsiDisks();
  for (const line of lines.filter((each) => each.startsWith('iscsiadm '))) {
    await run('sh', '-c', line);
  }
  return eventually('a disk of the session', () => iscsiDisks().find((d) => !before.includes(d)));
}

/** Runs the printed nbd-client line; resolves with the device that it names. */
export async function connectByPrintedLine(lines: readonly string[]): Promise<string> {
  const line = lines.find((each) => each.startsWith('nbd-client '));
  if (line === undefined) throw new Error(`no nbd-client line in:\n${lines.join('\n')}`);
  await run('sh', '-c', line);
  return line.slice(line.lastIndexOf(' ') + 1);
}

/** The same without asking the command line, which takes seconds to start in a guest. */
export async function logIn(volume: string): Promise<string> {
  const node = `iscsiadm -m node -T ${IQN_PREFIX}${volume} -p 127.0.0.1:3260`;
  return logInByPrintedLines([`${node} -o new`, `${node} --login`]);
}

export async function connect(volume: string): Promise<string> {
  return connectByPrintedLine([`nbd-client -unix /run/aurochs/nbd.sock -N ${volume} /dev/nbd0`]);
}

/** Devices of all iSCSI sessions, as /dev paths. */
export function iscsiDisks(): string[] {
  return list(SESSIONS)
    .map((session) => join(SESSIONS, session, 'device'))
    .flatMap((device) => below(device, /^target/))
    .flatMap((target) => below(target, /^\d+:\d+:\d+:\d+$/))
    .flatMap((unit) => below(join(unit, 'block'), /./))
    .map((path) => `/dev/${basename(path)}`);
}

export async function logOut(volume: string): Promise<void> {
  const node = ['-m', 'node', '-T', `${IQN_PREFIX}${volume}`];
  await run('iscsiadm', ...node, '--logout');
  await run('iscsiadm', ...node, '-o', 'delete');
}

export async function disconnect(device: string): Promise<void> {
  await run('nbd-client', '-d', device);
}

/** What `e2fsck -f -n` says about an unmounted file system; throws unless it is clean. */
export async function expectClean(device: string): Promise<void> {
  const { code, stdout, stderr } = await attempt('e2fsck', '-f', '-n', device);
  if (code !== 0) throw new Error(`e2fsck -fn ${device} ended with ${code}\n${stdout}${stderr}`);
}

function below(folder: string, name: RegExp): string[] {
  return list(folder)
    .filter((each) => name.test(each))
    .map((each) => join(folder, each));
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
