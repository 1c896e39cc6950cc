import assert from 'node:assert/strict';
import { readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { AgentProcess, uriOf } from '../support/agent-process.js';
import { run } from '../support/programs.js';
import { Scratch } from '../support/scratch.js';

const SIZE_BYTES = 64 * 1024 * 1024;
const DATA_ERRORS = ['CORRUPTION', 'NOT_FOUND'];

describe('a replica that was damaged while the agent was away', function () {
  this.timeout(120_000);

  const scratch = new Scratch();
  const agent = new AgentProcess(scratch);
  let directory: string;

  const write = async (volume: string, pattern: number): Promise<void> => {
    const uri = uriOf(await agent.api.volume(volume), 'nbd');
    await run('qemu-io', '-f', 'raw', '-c', `write -P ${pattern} 1M 64k`, '-c', 'flush', uri);
  };
  const read = async (volume: string, pattern: number): Promise<void> => {
    const uri = uriOf(await agent.api.volume(volume), 'nbd');
    await run('qemu-io', '-f', 'raw', '-c', `read -P ${pattern} 1M 64k`, uri);
  };

  before(async () => {
    await agent.start();
    for (const name of ['damaged', 'healthy']) await agent.volume(name, String(SIZE_BYTES));
    await write('damaged', 1);
    await agent.api.createSnapshot('damaged', { name: 'first' });
    await write('damaged', 2);
    await write('healthy', 3);
    const [replica] = (await agent.api.volume('damaged')).replicas;
    assert.ok(replica);
    directory = join(replica.diskPath, 'replicas', replica.directory);
  });
  beforeEach(() => agent.stop());
  after(async () => {
    await agent.kill();
    scratch.remove();
  });

  /** Starts the agent, looks at how it puts up with the damage, and repairs it. */
  const assertContained = async (names: RegExp, repair: () => void): Promise<void> => {
    await agent.start();
    await agent.until('aware of the damage', async () => {
      return (await agent.api.volume('damaged')).problem !== null;
    });
    const { problem, robustness, exports } = await agent.api.volume('damaged');
    assert.ok(problem !== null && DATA_ERRORS.includes(problem.code), JSON.stringify(problem));
    assert.match(problem.message, names);
    assert.deepEqual([robustness, exports], ['faulted', []]);
    const attach = await agent.cli('volume', 'attach', 'damaged');
    assert.ok(attach.code === 17 || attach.code === 4, `${attach.code}: ${attach.stderr}`);
    assert.match(attach.stderr, names);
    await agent.until('serving the other volume', async () => {
      return (await agent.api.volume('healthy')).state === 'attached';
    });
    await read('healthy', 3);

    await agent.stop();
    repair();
    await agent.start();
    await agent.until('serving what was repaired', async () => {
      return (await agent.api.volume('damaged')).state === 'attached';
    });
    await read('damaged', 2);
  };

  it('is not guessed at when replica.json has a wrong byte', async () => {
    const file = join(directory, 'replica.json');
    const good = readFileSync(file);
    const bad = Buffer.from(good);
    bad[bad.length >> 1] = (bad[bad.length >> 1] ?? 0) ^ 1;
    writeFileSync(file, bad);
    await assertContained(/replica\.json/, () => writeFileSync(file, good));
  });

  it('is not guessed at when replica.json is cut short or empty', async () => {
    const file = join(directory, 'replica.json');
    const good = readFileSync(file);
    writeFileSync(file, '');
    await assertContained(/replica\.json/, () => writeFileSync(file, good));
  });

  for (const [name, what] of [
    ['layer-000001.img', 'a snapshot'],
    ['layer-000002.img', 'the head'],
  ] as const) {
    it(`names the layer that is missing (${what})`, async () => {
      const [file, away] = [join(directory, name), scratch.file('away')];
      renameSync(file, away);
      await assertContained(new RegExp(name), () => renameSync(away, file));
    });

    it(`names the layer that is too short (${what})`, async () => {
      const file = join(directory, name);
      truncateSync(file, SIZE_BYTES - 4096);
      await assertContained(new RegExp(name), () => truncateSync(file, SIZE_BYTES));
    });
  }
});
