import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { Random } from '../support/random.js';
import { VolatileDisk, createImage } from './support/disk.js';
import { type Guest, bootGuest } from './support/guest.js';
import { runDirectory } from './support/kernel.js';
import {
  AREAS,
  type PowerCutRecord,
  type PowerCutTask,
  blocksOf,
} from './support/power-cut-records.js';

const CUTS = 20;
const DISK_BYTES = 2 * 1024 ** 3;
const LOAD_MS_MIN = 500;
const LOAD_MS_MAX = 3_000;
/** More than one boot can write: a write that was lost must not have the number of a later one. */
const SEQUENCES_PER_BOOT = 10_000_000;
const GUEST_MODULE = fileURLToPath(new URL('./support/power-cut-guest.js', import.meta.url));

/** Knows of each block the oldest write that it may hold (rule D3). */
class History {
  flushedWrites = 0;
  snapshots = 0;
  readonly #floor = Array.from({ length: AREAS }, (_, area) => new Uint32Array(blocksOf(area)));

  /** Takes what a guest has said in the order in which it was said. */
  add(record: PowerCutRecord): void {
    if (record.type === 'found') this.#found(record.area, record.sequences);
    if (record.type === 'flushed') {
      for (const [block, sequence] of record.blocks) this.#raise(record.area, block, sequence);
      this.flushedWrites += record.blocks.length;
    }
    if (record.type === 'snapshot') this.snapshots += 1;
  }

  /** What was found once is on the disk, so it must stay as well. */
  #found(area: number, sequences: readonly number[]): void {
    assert.equal(sequences.length, blocksOf(area));
    for (const [block, sequence] of sequences.entries()) {
      const floor = this.#floor[area]?.[block] ?? 0;
      const found = `area ${area}, block ${block} holds write ${sequence}`;
      assert.ok(sequence >= floor, `${found}, but ${floor} was flushed`);
      this.#raise(area, block, sequence);
    }
  }

  #raise(area: number, block: number, sequence: number): void {
    const floors = this.#floor[area];
    if (floors !== undefined) floors[block] = Math.max(floors[block] ?? 0, sequence);
  }
}

describe('a machine that loses its power under a write load', function () {
  this.bail(true); // What follows a lost write is judged by a history that is wrong.

  const random = Random.fromEnvironment();
  const history = new History();
  const directory = runDirectory('power-cut');
  const image = join(directory, 'disk.img');

  before(() => createImage(image, DISK_BYTES));

  /** Boots it for one task; `power` says how it ends. */
  const boot = async (
    number: number,
    load: boolean,
    power: (guest: Guest, loading: Promise<void>) => Promise<void>,
  ): Promise<void> => {
    const records: PowerCutRecord[] = [];
    let startLoading = (): void => undefined;
    const loading = new Promise<void>((resolve) => (startLoading = resolve));
    const task: PowerCutTask = {
      create: number === 0,
      load,
      seed: random.below(2 ** 32),
      firstSequence: 1 + number * SEQUENCES_PER_BOOT,
      rawOver: number % 2 === 0 ? 'iscsi' : 'nbd',
    };
    const disk = await VolatileDisk.plugIn(image);
    const guest = bootGuest({
      task: { kind: 'program', module: GUEST_MODULE, argument: task },
      directory: join(directory, `boot-${number}`),
      disks: [disk],
      onMessage: (message) => {
        if (message.type !== 'record') return;
        const record = message.record as PowerCutRecord;
        records.push(record);
        if (record.type === 'loading') startLoading();
      },
    });
    try {
      await power(guest, loading);
    } finally {
      await guest.cut();
      await disk.cut();
    }
    for (const record of records) history.add(record);
  };

  for (let cut = 0; cut < CUTS; cut += 1) {
    it(`finds every flushed write after ${cut} cuts`, () =>
      boot(cut, true, async (guest, loading) => {
        await Promise.race([loading, guest.ended()]);
        await Promise.race([
          delay(LOAD_MS_MIN + random.below(LOAD_MS_MAX - LOAD_MS_MIN)),
          guest.ended(),
        ]);
      }));
  }

  it(`finds every flushed write and sound replicas after ${CUTS} cuts`, async () => {
    await boot(CUTS, false, (guest) => guest.ended());
    const { flushedWrites, snapshots } = history;
    console.log(
      `      ${flushedWrites} flushed writes, ${snapshots} snapshots, seed ${random.seed}`,
    );
    assert.ok(flushedWrites > CUTS, 'hardly anything was written');
  });
});
