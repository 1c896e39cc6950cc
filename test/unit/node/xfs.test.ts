import assert from 'node:assert/strict';
import { closeSync, openSync, readSync, truncateSync, writeFileSync, writeSync } from 'node:fs';

import { SystemCommandRunner } from '../../../src/node/command.js';
import { BlockDevices } from '../../../src/node/block-devices.js';
import { xfsIsDamaged } from '../../../src/node/filesystem.js';
import { VolumeFormatter } from '../../../src/node/format-volume.js';
import { Host } from '../../../src/node/host-namespaces.js';
import { VolumeMount } from '../../../src/node/volume-mount.js';
import { Scratch } from '../../support/scratch.js';
import { DEVICE, FileHost } from './file-host.js';

const IMAGE_BYTES = 320 * 1024 * 1024; // mkfs.xfs makes nothing below 300 MiB.
/** Big-endian fields of the super block, xfs_db(8). */
const BLOCK_SIZE_AT = 4;
const LOG_START_AT = 48;
const AG_BLOCKS_AT = 84;
const AG_BLOCK_BITS_AT = 124;
/** In a log of mkfs: one record of 512 bytes, and behind it the operation "unmounted", whose flags are its tenth byte. */
const FLAGS_IN_LOG_AT = 512 + 9;

describe('xfs', function () {
  this.timeout(60_000);
  let scratch: Scratch;
  let image: string;
  const runner = new SystemCommandRunner();
  const host = new Host(runner);

  beforeEach(async () => {
    scratch = new Scratch();
    image = scratch.file('image');
    writeFileSync(image, '');
    truncateSync(image, IMAGE_BYTES);
    await runner.run('mkfs.xfs', ['-q', image]);
  });
  afterEach(() => scratch.remove());

  const superBlock = (): Buffer => {
    const file = openSync(image, 'r');
    const bytes = Buffer.alloc(512);
    readSync(file, bytes, 0, bytes.length, 0);
    closeSync(file);
    return bytes;
  };

  const overwrite = (offset: number, bytes: Buffer): void => {
    const file = openSync(image, 'r+');
    writeSync(file, bytes, 0, bytes.length, offset);
    closeSync(file);
  };

  /** Where the log begins, in bytes. */
  const logStart = (): number => {
    const bytes = superBlock();
    const [start, bits] = [bytes.readBigUInt64BE(LOG_START_AT), bytes[AG_BLOCK_BITS_AT] ?? 0];
    const group = Number(start >> BigInt(bits));
    const within = Number(start & ((1n << BigInt(bits)) - 1n));
    const blocks = group * bytes.readUInt32BE(AG_BLOCKS_AT) + within;
    return blocks * bytes.readUInt32BE(BLOCK_SIZE_AT);
  };

  it('that is whole is not damaged', async () => {
    assert.equal(await xfsIsDamaged(host, image), false);
  });

  it('that was not unmounted is not damaged: its log is replayed by the next mount', async () => {
    overwrite(logStart() + FLAGS_IN_LOG_AT, Buffer.from([0]));
    const look = runner.run('xfs_repair', ['-n', image]);
    await assert.rejects(look, /ended with code 1/, 'the log is not dirty');
    assert.equal(await xfsIsDamaged(host, image), false);
  });

  it('with a broken header of an allocation group is damaged', async () => {
    const groupBytes = superBlock().readUInt32BE(AG_BLOCKS_AT) * 4096;
    overwrite(groupBytes + 512, Buffer.alloc(512));
    assert.equal(await xfsIsDamaged(host, image), true);
  });

  it('is mounted whatever else has its UUID: a clone stands beside its source', async () => {
    const machine = new FileHost();
    const blocks = new BlockDevices(machine.host);
    const mount = new VolumeMount(
      machine.host,
      blocks,
      new VolumeFormatter(machine.host, machine.images),
    );
    const wanted = { volume: 'db', volumeId: 'id-of-db', formatOptions: [], readOnly: false };
    await mount.mount({ path: DEVICE, name: 'sda' }, '/srv/db', {
      ...wanted,
      ...{ fileSystem: 'xfs', options: ['noatime'] },
    });
    assert.equal(machine.ran('mount')[0]?.[4], 'rw,_netdev,nouuid,noatime');
    machine.scratch.remove();
  });
});
