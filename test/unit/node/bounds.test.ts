import assert from 'node:assert/strict';

import { FORMATS_PARALLEL, KEY_DERIVATIONS_PARALLEL } from '../../../src/core/limits.js';
import type { CommandResult, CommandRunner } from '../../../src/node/command.js';
import { VolumeFormatter } from '../../../src/node/format-volume.js';
import { Host } from '../../../src/node/host-namespaces.js';
import { formatContainer, openContainer } from '../../../src/node/luks.js';
import { Scratch } from '../../support/scratch.js';

const VOLUMES = ['a', 'b', 'c', 'd', 'e'];

/** Counts how many of them run at once. The first ones wait for each other until there are as many as may be. */
class Busy {
  most = 0;
  #running = 0;
  #isFull = (): void => undefined;
  readonly #full = new Promise<void>((resolve) => (this.#isFull = resolve));

  constructor(private readonly parallel: number) {}

  async work(): Promise<void> {
    this.most = Math.max(this.most, ++this.#running);
    if (this.most >= this.parallel) this.#isFull();
    await this.#full;
    for (let turn = 0; turn < 20; ++turn) await new Promise((resolve) => setImmediate(resolve));
    --this.#running;
  }
}

describe('of volumes that are staged at the same time', () => {
  const busy = (): { busy: Busy; host: Host } => {
    const counted = new Busy(KEY_DERIVATIONS_PARALLEL);
    const run = async (): Promise<CommandResult> => {
      await counted.work();
      return { stdout: '', stderr: '' };
    };
    const runner: CommandRunner = { run };
    return { busy: counted, host: new Host(runner) };
  };

  it('one key is derived at a time, each for a GiB of memory', async () => {
    const { busy: programs, host } = busy();
    const encryption = { passphrase: 'secret' };
    const derived = VOLUMES.flatMap((volume) => [
      openContainer(host, volume, '/dev/x', 'secret', false),
      formatContainer(host, volume, '/image', encryption, 'label', null),
    ]);
    await Promise.all(derived);
    assert.equal(programs.most, KEY_DERIVATIONS_PARALLEL);
  });

  it('two are formatted at a time, each with an image', async () => {
    const scratch = new Scratch();
    const { host } = busy();
    const formatter = new VolumeFormatter(host, scratch.file('images'));
    const images = new Busy(FORMATS_PARALLEL);
    const target = { volumeId: 'id', path: '/dev/x', sizeBytes: 4096n };
    await Promise.all(
      VOLUMES.map((volume) => formatter.format({ ...target, volume }, () => images.work())),
    );
    assert.equal(images.most, FORMATS_PARALLEL);
    scratch.remove();
  });
});
