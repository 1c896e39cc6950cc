/**
 * The guest's half of the power-cut spec: shows the host what the volumes hold after the boot, then
 * writes to them until the power goes, and tells the host what has been flushed.
 */
import { mkdirSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

import { loadBinding } from '../../../src/native/binding.js';
import { run } from '../../support/programs.js';
import { Random } from '../../support/random.js';
import { connect, expectClean, logIn, startInitiators } from './devices.js';
import { GuestAgent, mountDisk } from './guest-agent.js';
import { tellHost } from './messages.js';
import {
  AREAS,
  FILES_VOLUME,
  type PowerCutRecord,
  type PowerCutTask,
  RAW_BLOCKS,
  RAW_VOLUME,
  blocksOf,
} from './power-cut-records.js';
import { BLOCK_BYTES, NEVER_WRITTEN, sequenceOf, stampedBlock } from './stamped-block.js';

const MOUNT_POINT = '/mnt/files';
const FILES_VOLUME_SIZE = '48MiB';
const WRITES_PER_FLUSH_MAX = 24;
const SNAPSHOTS_KEPT = 3;

export default async function powerCutGuest(argument: unknown): Promise<void> {
  const task = argument as PowerCutTask;
  await mountDisk();
  await startInitiators();
  const agent = new GuestAgent();
  await agent.start();
  if (task.create) {
    await agent.volume(RAW_VOLUME, String(RAW_BLOCKS * BLOCK_BYTES));
    await agent.volume(FILES_VOLUME, FILES_VOLUME_SIZE);
  }
  const [raw, files] =
    task.rawOver === 'iscsi'
      ? [await logIn(RAW_VOLUME), await connect(FILES_VOLUME)]
      : [await connect(RAW_VOLUME), await logIn(FILES_VOLUME)];
  if (task.create) await run('mkfs.ext4', '-q', '-b', '4096', files); // Smaller ones may be torn apart.
  await mountFiles(files);
  const areas = await openAreas(raw);
  for (const [area, handle] of areas.entries()) await tellFound(area, handle);
  await closeAll(areas);
  await run('umount', MOUNT_POINT);
  await expectClean(files); // The journal alone has brought it here.
  if (!task.load) return checkReplicas(agent);
  await mountFiles(files);
  await loadForever(agent, await openAreas(raw), task);
}

async function mountFiles(device: string): Promise<void> {
  mkdirSync(MOUNT_POINT, { recursive: true });
  await run('mount', '-t', 'ext4', device, MOUNT_POINT);
}

/** The raw device and the files, by number of their area. */
async function openAreas(raw: string): Promise<FileHandle[]> {
  const areas = [await open(raw, 'r+')];
  for (let area = 1; area < AREAS; area += 1) {
    const path = `${MOUNT_POINT}/file-${area}`;
    areas.push(await open(path, 'r+').catch(() => open(path, 'w+')));
  }
  return areas;
}

async function closeAll(areas: readonly FileHandle[]): Promise<void> {
  for (const handle of areas) await handle.close();
}

/** A file that is shorter than it may become holds nothing at its end. */
async function tellFound(area: number, handle: FileHandle): Promise<void> {
  const bytes = Buffer.alloc(blocksOf(area) * BLOCK_BYTES);
  for (let read = 0; read < bytes.length;) {
    const { bytesRead } = await handle.read(bytes, read, bytes.length - read, read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  const sequences = Array.from({ length: blocksOf(area) }, (_, block) =>
    sequenceOf(area, block, bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)),
  );
  record({ type: 'found', area, sequences });
}

async function loadForever(
  agent: GuestAgent,
  areas: readonly FileHandle[],
  task: PowerCutTask,
): Promise<void> {
  const random = new Random(task.seed);
  let nextSequence = Math.max(task.firstSequence, NEVER_WRITTEN + 1);
  const writeAndFlush = async (area: number): Promise<void> => {
    const handle = areas[area];
    if (handle === undefined) throw new Error(`there is no area ${area}`);
    const count = 1 + random.below(WRITES_PER_FLUSH_MAX);
    const written = new Map<number, number>();
    for (let i = 0; i < count; i += 1) {
      const block = random.below(blocksOf(area));
      const own = nextSequence++; // Taken at once: the other loads run between this and its end.
      await handle.write(stampedBlock(area, block, own), 0, BLOCK_BYTES, block * BLOCK_BYTES);
      written.set(block, own);
    }
    await handle.datasync();
    record({ type: 'flushed', area, blocks: [...written] });
  };
  record({ type: 'loading' });
  const forever = async (work: () => Promise<void>): Promise<void> => {
    for (;;) await work();
  };
  await Promise.all([
    forever(() => writeAndFlush(0)),
    forever(() => writeAndFlush(1 + random.below(AREAS - 1))),
    forever(() => churnSnapshots(agent, random)),
  ]);
}

/** The cut may hit any step of a snapshot and of a merge. */
async function churnSnapshots(agent: GuestAgent, random: Random): Promise<void> {
  const volume = random.chance(0.5) ? RAW_VOLUME : FILES_VOLUME;
  await agent.api.createSnapshot(volume, {});
  const kept = (await agent.api.snapshots(volume)).filter((each) => !each.removing);
  const victim = kept[random.below(kept.length)];
  const deletes = kept.length > SNAPSHOTS_KEPT && victim !== undefined;
  if (deletes) await agent.api.deleteSnapshot(volume, victim.id);
  record({ type: 'snapshot', taken: 1, deleted: deletes ? 1 : 0 });
}

async function checkReplicas(agent: GuestAgent): Promise<void> {
  const volumes = await agent.api.volumes();
  await agent.stop();
  const host = loadBinding().createHost(
    { loops: 1, ioBackend: 'auto', lockMemory: false },
    () => undefined,
  );
  for (const { diskPath, directory } of volumes.flatMap(({ replicas }) => replicas)) {
    const problems = await host.fsckReplica(diskPath, directory);
    if (problems.length > 0) throw new Error(`${directory}: ${JSON.stringify(problems)}`);
  }
  await host.close();
}

function record(said: PowerCutRecord): void {
  tellHost({ type: 'record', record: said });
}
