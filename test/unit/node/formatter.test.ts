import assert from 'node:assert/strict';
import { closeSync, copyFileSync, openSync, readSync, truncateSync, writeSync } from 'node:fs';

import { BLANK_BYTES_CHECKED } from '../../../src/core/limits.js';
import { SystemCommandRunner } from '../../../src/node/command.js';
import { type Contents, probe } from '../../../src/node/contents.js';
import { BLOCK_BYTES } from '../../../src/node/format-tag.js';
import {
  type DeviceFile,
  eraseUnfinished,
  type FormatImage,
  writeImage,
} from '../../../src/node/formatter.js';
import { Host } from '../../../src/node/host-namespaces.js';
import { mkfsCommand } from '../../../src/node/mkfs-options.js';
import { SparseImage } from '../../../src/node/sparse-image.js';
import { run } from '../../support/programs.js';
import { Random } from '../../support/random.js';
import { Scratch } from '../../support/scratch.js';

const MIB = 1024 * 1024;
const ID = '6ba94b84-7378-43fa-a9e5-910cbe4d5212';
const GARBAGE = 0xa5;

class PowerCut extends Error {}

/**
 * A disk with a write cache, and a power cut at step `cutAt`. What was not flushed by then has reached the disk or has
 * not, block by block.
 */
class CutDevice implements DeviceFile {
  readonly #file: number;
  #pending: { offset: number; bytes: Buffer }[] = [];
  steps = 0;

  constructor(
    path: string,
    private readonly cutAt: number,
    private readonly random: Random,
  ) {
    this.#file = openSync(path, 'r+');
  }

  read(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    readSync(this.#file, bytes, 0, length, offset);
    for (const write of this.#pending) {
      const at = write.offset - offset;
      if (at >= 0 && at < length) write.bytes.copy(bytes, at);
    }
    return Promise.resolve(bytes);
  }

  write(bytes: Buffer, offset: number): Promise<void> {
    assert.equal(offset % BLOCK_BYTES, 0);
    assert.equal(bytes.length % BLOCK_BYTES, 0);
    for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
      const block = Buffer.from(bytes.subarray(at, at + BLOCK_BYTES));
      this.#pending.push({ offset: offset + at, bytes: block });
    }
    return this.#step();
  }

  zero(offset: number, length: number): Promise<void> {
    return this.write(Buffer.alloc(length), offset);
  }

  flush(): Promise<void> {
    if (this.steps + 1 !== this.cutAt) this.#apply(1);
    return this.#step();
  }

  close(): void {
    closeSync(this.#file);
  }

  #step(): Promise<void> {
    this.steps += 1;
    if (this.steps !== this.cutAt) return Promise.resolve();
    this.#apply(this.random.below(11) / 10);
    return Promise.reject(new PowerCut());
  }

  #apply(share: number): void {
    for (const { offset, bytes } of this.#pending) {
      if (share === 1 || this.random.chance(share)) {
        writeSync(this.#file, bytes, 0, bytes.length, offset);
      }
    }
    this.#pending = [];
  }
}

describe('formatting', function () {
  this.timeout(120_000);
  const host = new Host(new SystemCommandRunner());
  const scratch = new Scratch();
  const random = Random.fromEnvironment();
  const device = scratch.file('device');
  const copy = scratch.file('copy');
  const images: SparseImage[] = [];

  before(() => console.log(`    seed ${random.seed}`));
  after(async () => {
    for (const image of images) await image.close();
    scratch.remove();
  });

  /** Blank where that is looked at; beyond, what an earlier file system has left. */
  const newDevice = (sizeBytes: number, garbageBytes: number): void => {
    makeSparse(device, sizeBytes);
    overwrite(device, BLANK_BYTES_CHECKED, Buffer.alloc(garbageBytes, GARBAGE));
  };

  const look = (path = device, id = ID): Promise<Contents> => probe(host, path, id);

  /** What programs make is made once: they take longer than everything else here. */
  const imageOf = async (
    sizeBytes: number,
    make: (target: string) => Promise<unknown>,
  ): Promise<FormatImage> => {
    const image = await SparseImage.create(scratch.file('images'), sizeBytes);
    images.push(image);
    await make(image.path);
    return { sizeBytes, runs: await image.runs(host), read: image.read.bind(image) };
  };
  const mkfs = (type: 'ext4' | 'xfs', sizeBytes: number, formatOptions: readonly string[] = []) =>
    imageOf(sizeBytes, (target) => {
      const request = { type, formatOptions, target, physicalBlockBytes: 4096, force: false };
      const { program, args, env } = mkfsCommand(request);
      return host.run(program, args, { env });
    });

  /** Returns how many steps it took; stops at `cutAt`. */
  const format = async (image: FormatImage, cutAt = Infinity): Promise<number> => {
    const { kind } = await look();
    assert.ok(kind === 'blank' || kind === 'unfinished', kind);
    const file = new CutDevice(device, cutAt, random);
    try {
      await writeImage(file, image, ID, kind === 'unfinished');
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
    } finally {
      file.close();
    }
    return file.steps;
  };

  /** The state after a cut is one of three, and nobody's data is ever taken for it. */
  const checkState = async (): Promise<Contents['kind']> => {
    const { kind } = await look();
    assert.ok(['blank', 'unfinished', 'fileSystem', 'encrypted'].includes(kind), kind);
    if (kind !== 'unfinished') return kind;
    const clone = await look(device, 'another volume');
    assert.equal(clone.kind, 'other');
    assert.match(clone.kind === 'other' ? clone.what : '', /begun for another volume/);
    const at = BLOCK_BYTES * (1 + random.below(255)) + random.below(BLOCK_BYTES);
    copyFileSync(device, copy);
    overwrite(copy, at, Buffer.from('a database that somebody has put there'));
    const used = await look(copy);
    assert.equal(used.kind, 'other', `written at ${at}`);
    return kind;
  };

  const expectSound = async (type: 'ext4' | 'xfs'): Promise<void> => {
    assert.deepEqual(await look(), { kind: 'fileSystem', type });
    if (type === 'ext4') await run('e2fsck', '-f', '-n', device);
    else await run('xfs_repair', '-n', '-f', device);
  };

  const cases = [
    { type: 'ext4', sizeBytes: 24 * MIB, garbageBytes: 23 * MIB, again: ['-b', '1024'] },
    { type: 'xfs', sizeBytes: 320 * MIB, garbageBytes: 8 * MIB, again: ['-i', 'size=1024'] },
  ] as const;
  for (const { type, sizeBytes, garbageBytes, again } of cases) {
    it(`with ${type} survives a power cut at every step, and a second one when it is repeated`, async () => {
      const [image, other] = [await mkfs(type, sizeBytes), await mkfs(type, sizeBytes, again)];
      newDevice(sizeBytes, garbageBytes);
      const steps = await format(image);
      await expectSound(type);
      const seen = new Set<string>();
      for (let cut = 1; cut <= steps + 1; cut += 1) {
        newDevice(sizeBytes, garbageBytes);
        await format(image, cut);
        let kind = await checkState();
        seen.add(kind);
        if (kind !== 'fileSystem') {
          await format(other, 1 + random.below(steps));
          kind = await checkState();
        }
        if (kind !== 'fileSystem') await format(image);
        await expectSound(type);
      }
      assert.ok(seen.has('unfinished') && seen.has('fileSystem'), [...seen].join());
    });
  }

  it('with LUKS survives a power cut at every step', async () => {
    const sizeBytes = 24 * MIB;
    const options = '--batch-mode --type luks2 --key-file=- --label aurochs-new --pbkdf pbkdf2';
    const cheap = '--pbkdf-force-iterations 1000'; // Else it measures for seconds.
    const image = await imageOf(sizeBytes, (path) =>
      run('sh', '-c', `printf x | cryptsetup luksFormat ${options} ${cheap} ${path}`),
    );
    newDevice(sizeBytes, 8 * MIB);
    const steps = await format(image);
    for (let cut = 1; cut <= steps; cut += 1) {
      newDevice(sizeBytes, 8 * MIB);
      await format(image, cut);
      if ((await checkState()) !== 'encrypted') await format(image);
      assert.deepEqual(await look(), { kind: 'encrypted', label: 'aurochs-new' });
    }
    await run('sh', '-c', `printf x | cryptsetup open --test-passphrase --key-file=- ${device}`);
  });

  it('that was left is taken back at every step before a user gets the raw device', async () => {
    const sizeBytes = 24 * MIB;
    newDevice(sizeBytes, 8 * MIB);
    await format(await mkfs('ext4', sizeBytes), 4);
    assert.equal((await look()).kind, 'unfinished');
    copyFileSync(device, copy);
    let steps = Infinity;
    for (let cut = 1; cut <= steps; cut += 1) {
      copyFileSync(copy, device);
      const file = new CutDevice(device, cut, random);
      const done = await eraseUnfinished(file).then(
        () => true,
        () => false,
      );
      file.close();
      if (done) steps = cut;
      const { kind } = await look();
      assert.ok(done ? kind === 'blank' : kind !== 'other', `${kind} after step ${cut}`);
    }
  });
});

function makeSparse(path: string, sizeBytes: number): void {
  closeSync(openSync(path, 'w'));
  truncateSync(path, sizeBytes);
}

function overwrite(path: string, offset: number, bytes: Buffer): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}
