import assert from 'node:assert/strict';
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';

import { SystemCommandRunner } from '../../../src/node/command.js';
import { probe } from '../../../src/node/contents.js';
import { parseError, printedError } from '../../../src/node/format-task.js';
import { VolumeFormatter } from '../../../src/node/format-volume.js';
import { AurochsError } from '../../../src/core/errors.js';
import { Host } from '../../../src/node/host-namespaces.js';
import { run } from '../../support/programs.js';
import { Scratch } from '../../support/scratch.js';

const SIZE_BYTES = 24 * 1024 * 1024;

describe('VolumeFormatter', function () {
  this.timeout(60_000);
  const scratch = new Scratch();
  const host = new Host(new SystemCommandRunner());
  const path = scratch.file('device');
  const formatter = new VolumeFormatter(host, scratch.file('images'));
  const target = { volume: 'db', volumeId: 'id-of-db', path, sizeBytes: BigInt(SIZE_BYTES) };
  const format = () =>
    formatter.format(target, (image) => run('mkfs.ext4', '-q', image).then(() => {}));

  beforeEach(() => {
    writeFileSync(path, '');
    truncateSync(path, SIZE_BYTES);
  });
  after(() => scratch.remove());

  it('writes through a process of its own, and leaves no image', async () => {
    await format();
    assert.deepEqual(await probe(host, path, 'id-of-db'), { kind: 'fileSystem', type: 'ext4' });
    await run('e2fsck', '-fn', path);
    assert.deepEqual(readdirSync(scratch.file('images')), []);
  });

  it('hears from that process why it refuses', async () => {
    writeFileSync(path, 'precious', { flag: 'r+' });
    await assert.rejects(format(), { code: 'FAILED_PRECONDITION', message: /has become data/ });
    assert.match(readFileSync(path, 'latin1'), /^precious/);
    await assert.rejects(formatter.clearUnfinished({ ...target, path: '/no/such' }), {
      code: 'IO',
      message: /cannot be opened for writing/,
    });
  });

  it('cannot be made where the image has no room', async () => {
    const large = formatter.format({ ...target, sizeBytes: 1n << 62n }, () => Promise.resolve());
    await assert.rejects(large, {
      code: 'FAILED_PRECONDITION',
      message: /cannot hold a sparse file/,
    });
  });

  it('passes errors on as they are', () => {
    const error = new AurochsError('BUSY', 'held', 'Let go.');
    assert.deepEqual(parseError(printedError(error)), error);
    assert.equal(parseError(printedError(new Error('odd')))?.code, 'INTERNAL');
    assert.equal(parseError('Segmentation fault'), null);
  });
});
