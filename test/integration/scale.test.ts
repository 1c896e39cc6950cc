import assert from 'node:assert/strict';

import { AurochsError } from '../../src/core/errors.js';
import { AgentProcess } from '../support/agent-process.js';
import { Scratch } from '../support/scratch.js';

const STEP_MS_MAX = 1_000;
const IDLE_VOLUMES = 500;
const BYTES_PER_IDLE_VOLUME_MAX = 1024 * 1024;
const IDLE_MS = 5_000;
/** Of 500 ticks in the time: what a clock that ticks may add by chance. */
const IDLE_TICKS_MAX = 5;

async function timed(what: string, work: () => Promise<unknown>): Promise<void> {
  const started = performance.now();
  await work();
  const ms = performance.now() - started;
  console.log(`      ${what}: ${Math.round(ms)} ms`);
  assert.ok(ms < STEP_MS_MAX, `to ${what} took ${ms} ms`);
}

describe('an agent with much to serve', function () {
  this.timeout(300_000);

  let scratch: Scratch;
  let agent: AgentProcess;
  beforeEach(async () => {
    scratch = new Scratch();
    agent = await new AgentProcess(scratch).start();
  });
  afterEach(async () => {
    await agent.kill();
    scratch.remove();
  });

  it('creates, opens and snapshots a volume of 8 TiB in less than a second each', async () => {
    await timed('create', () => agent.api.createVolume({ name: 'huge', size: '8TiB' }));
    await timed('attach', () => agent.api.attachVolume('huge', {}));
    await timed('snapshot', () => agent.api.createSnapshot('huge', { name: 'first' }));
    await agent.restart();
    await timed('open after a restart', () =>
      agent.until('serving', async () => (await agent.api.volume('huge')).state === 'attached'),
    );
    assert.equal((await agent.api.volume('huge')).sizeBytes, String(8n << 40n));
  });

  it('refuses at once what the file system cannot hold, and names the limit', async () => {
    const [disk] = await agent.api.disks();
    assert.ok(disk);
    const tooLarge = (BigInt(disk.fileBytesMax) / 4096n + 1n) * 4096n;
    const creating = agent.api.createVolume({ name: 'larger', size: String(tooLarge) });
    await assert.rejects(creating, (error: unknown) => {
      assert.ok(error instanceof AurochsError);
      assert.equal(error.code, 'OUT_OF_RANGE');
      assert.match(`${error.message} ${error.hint}`, /\d(\.\d+)?TiB/);
      return true;
    });
    assert.deepEqual(await agent.api.volumes(), []);
  });

  it(`keeps ${IDLE_VOLUMES} idle volumes without processor time and in less than 1 MiB each`, async () => {
    const ticksDuring = async (milliseconds: number): Promise<number> => {
      const before = agent.processorTicks();
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      return agent.processorTicks() - before;
    };
    await agent.volume('warm', '1GiB');
    const residentBytes = agent.residentBytes();
    for (let first = 0; first < IDLE_VOLUMES; first += 10) {
      const names = Array.from({ length: 10 }, (_, i) => `idle-${first + i}`);
      await Promise.all(names.map((name) => agent.volume(name, '1GiB')));
    }
    const growth = (agent.residentBytes() - residentBytes) / IDLE_VOLUMES;
    await ticksDuring(2_000); // What creating them has left to do.
    const ticks = await ticksDuring(IDLE_MS);
    console.log(`      ${Math.round(growth / 1024)} KiB each, ${ticks} ticks in ${IDLE_MS} ms`);
    assert.ok(growth < BYTES_PER_IDLE_VOLUME_MAX, `${growth} bytes each`);
    assert.ok(ticks <= IDLE_TICKS_MAX, `${ticks} ticks of processor time in ${IDLE_MS} ms`);

    await agent.kill();
    const started = performance.now();
    await agent.start();
    await agent.until('serving all', async () => {
      const { volumes } = await agent.api.health();
      return volumes.attached === IDLE_VOLUMES + 1;
    });
    console.log(`      all served again after ${Math.round(performance.now() - started)} ms`);
  });
});
