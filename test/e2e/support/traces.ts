/** What volumes leave on a machine while they are in use, and must not leave behind. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';

import { attempt, run } from '../../support/programs.js';
import type { GuestAgent } from './guest-agent.js';
import { leftovers } from './volume-host.js';

const BLOCK_STAGINGS = '/run/aurochs/staged';

/** Mappings, mounts below these directories, and records of staged block devices. */
export async function stagingTraces(...directories: string[]): Promise<string[]> {
  const mappings = (await run('dmsetup', 'ls')).trim();
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return [
    ...(mappings === 'No devices found' ? [] : mappings.split('\n')),
    ...mounts.filter((line) => directories.some((each) => line.includes(` ${each}/`))),
    ...(existsSync(BLOCK_STAGINGS) ? readdirSync(BLOCK_STAGINGS) : []),
  ];
}

/** Those, and sessions, records, devices and links, and replicas below the data directory. */
export async function allTraces(
  dataDirectory: string,
  ...directories: string[]
): Promise<string[]> {
  return [
    ...(await stagingTraces(...directories)),
    ...leftovers(),
    ...readdirSync(`${dataDirectory}/images`),
    ...readdirSync(`${dataDirectory}/disk0/replicas`),
  ];
}

/** Files of the volume's replica that hold the text as it is. */
export async function replicaFilesWith(
  text: string,
  agent: Pick<GuestAgent, 'api'>,
  volume: string,
): Promise<string[]> {
  await run('sync');
  const { replicas } = await agent.api.volume(volume);
  const [replica] = replicas;
  const folder = `${replica?.diskPath}/replicas/${replica?.directory}`;
  const { stdout } = await attempt('grep', '-rlaF', text, folder);
  return stdout.split('\n').filter((line) => line !== '');
}
