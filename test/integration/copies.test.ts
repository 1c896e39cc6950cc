import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import { loadBinding } from '../../src/native/binding.js';
import { AgentProcess } from '../support/agent-process.js';
import { NbdConnection } from '../support/nbd-connection.js';
import { Random } from '../support/random.js';
import { Scratch } from '../support/scratch.js';

const MIB = 1024 * 1024;
const SIZE_BYTES = 64 * MIB;
const SIZE = String(SIZE_BYTES);
const BLOCK = 4096;
const GROUPS = 10;
const KILLS = 8;
const KILL_MS_MAX = 300;

describe('copies and groups of a real agent', function () {
  this.timeout(300_000);

  const scratch = new Scratch();
  const agent = new AgentProcess(scratch);
  const random = Random.fromEnvironment();

  before(() => agent.start());
  after(async () => {
    await agent.kill();
    scratch.remove();
  });

  const withConnection = async <T>(
    volume: string,
    use: (connection: NbdConnection) => Promise<T>,
  ): Promise<T> => {
    const connection = await NbdConnection.open(agent.nbdSocket, volume);
    try {
      return await use(connection);
    } finally {
      connection.close();
    }
  };

  const fill = (volume: string, data: Buffer): Promise<void> =>
    withConnection(volume, async (connection) => {
      for (let offset = 0; offset < data.length; offset += MIB) {
        await connection.request('write', offset, MIB, {
          data: data.subarray(offset, offset + MIB),
        });
      }
      await connection.request('flush', 0, 0);
    });

  const contentOf = (volume: string): Promise<Buffer> =>
    withConnection(volume, async (connection) => {
      const parts: Buffer[] = [];
      for (let offset = 0; offset < SIZE_BYTES; offset += MIB) {
        parts.push(await connection.request('read', offset, MIB));
      }
      return Buffer.concat(parts);
    });

  const isThere = (volume: string): Promise<void> =>
    agent.until(`with volume ${volume}`, async () => {
      const { state, problem } = await agent.api.volume(volume);
      assert.ok(problem === null || state === 'creating', problem?.message);
      return state === 'detached';
    });

  /** A connection that was closed is a session until the agent has noticed. */
  const detach = async (volume: string): Promise<void> => {
    await agent.until(`without a session with ${volume}`, async () =>
      (await agent.api.sessions()).every((session) => session.volume !== volume),
    );
    await agent.api.detachVolume(volume, {});
  };

  const hasNoSnapshots = (volume: string): Promise<void> =>
    agent.until(
      `rid of the snapshots of ${volume}`,
      async () => (await agent.api.snapshots(volume)).length === 0,
    );

  it('make a volume of what a snapshot holds while its source is written to', async () => {
    await agent.volume('source', SIZE);
    const before = randomBytes(SIZE_BYTES);
    await fill('source', before);
    await agent.api.createSnapshot('source', { name: 'before' });
    const source = { volume: 'source', snapshot: 'before' };
    const [copy] = await Promise.all([
      agent.api.createVolume({ name: 'copy', size: String(SIZE_BYTES + MIB), source }),
      fill('source', randomBytes(SIZE_BYTES)),
    ]);
    assert.equal(copy.sizeBytes, String(SIZE_BYTES + MIB));
    await isThere('copy');
    await agent.api.attachVolume('copy', {});
    assert.ok(before.equals(await contentOf('copy')), 'another content');
    await detach('copy');
    await agent.api.deleteVolume('copy');
    await agent.api.deleteSnapshot('source', 'before');
    await hasNoSnapshots('source');
  });

  it('take groups in which no write is missing that came before one that is there', async () => {
    for (const name of ['first', 'second']) await agent.volume(name, String(MIB));
    const stop = new AbortController();
    /** Each number goes to the one volume, and once that is answered to the other. */
    const writing = withConnection('first', (first) =>
      withConnection('second', async (second) => {
        const data = Buffer.alloc(BLOCK);
        let number = 0;
        for (; !stop.signal.aborted; ++number) {
          data.writeUInt32LE(number);
          await first.request('write', 0, BLOCK, { data });
          await second.request('write', 0, BLOCK, { data });
        }
        return number;
      }),
    );
    const seen: [number, number][] = [];
    for (let each = 0; each < GROUPS; ++each) {
      const group = await agent.api.createSnapshotGroup({
        name: `group${each}`,
        volumes: ['second', 'first'],
      });
      const numbers: Record<string, number> = {};
      for (const { volume, snapshot } of group.members) {
        const source = { volume, snapshot };
        await agent.api.createVolume({ name: `of-${volume}`, size: String(MIB), source });
        await isThere(`of-${volume}`);
        await agent.api.attachVolume(`of-${volume}`, {});
        const block = await withConnection(`of-${volume}`, (of) => of.request('read', 0, BLOCK));
        numbers[volume] = block.readUInt32LE();
        await detach(`of-${volume}`);
        await agent.api.deleteVolume(`of-${volume}`);
      }
      seen.push([numbers['first'] ?? -1, numbers['second'] ?? -1]);
      await agent.api.deleteSnapshotGroup(group.id);
    }
    stop.abort();
    const written = await writing;
    console.log(`      ${written} writes to each of two volumes under ${GROUPS} groups`);
    assert.ok(written > GROUPS, 'nothing was written meanwhile');
    for (const [first, second] of seen) {
      assert.ok(first === second || first === second + 1, `out of step: ${first}, ${second}`);
    }
    for (const name of ['first', 'second']) await hasNoSnapshots(name);
  });

  it('are done or undone when the agent is killed in the middle, and leave nothing', async () => {
    const content = await contentOf('source');
    let copied = 0;
    for (let kill = 0; kill < KILLS; ++kill) {
      const creating = agent.api
        .createVolume({ name: 'copy', size: SIZE, source: { volume: 'source' } })
        .catch(() => null);
      await new Promise((resolve) => setTimeout(resolve, random.below(KILL_MS_MAX)));
      await agent.kill();
      await creating;
      await agent.start();
      const [copy] = (await agent.api.volumes()).filter(({ name }) => name === 'copy');
      if (copy !== undefined) {
        await isThere('copy');
        await agent.api.attachVolume('copy', {});
        const same = content.equals(await contentOf('copy'));
        assert.ok(same, `another content (seed ${random.seed}, kill ${kill})`);
        await detach('copy');
        await agent.api.deleteVolume('copy');
        copied += 1;
      }
      await hasNoSnapshots('source');
    }
    console.log(`      ${copied} of ${KILLS} copies went on after the kill`);
    assert.deepEqual(
      (await agent.api.disks()).map(({ replicas }) => replicas),
      [(await agent.api.volumes()).length],
    );
    assert.doesNotMatch(agent.log, /CHECK failed|a bug/);
  });

  it('leave replicas in which an offline check finds nothing', async () => {
    const volumes = await agent.api.volumes();
    assert.equal(await agent.stop(), 0);
    const host = loadBinding().createHost(
      { loops: 1, ioBackend: 'auto', lockMemory: false },
      () => undefined,
    );
    try {
      for (const { replicas } of volumes) {
        for (const { diskPath, directory } of replicas) {
          assert.deepEqual(await host.fsckReplica(diskPath, directory), []);
        }
      }
    } finally {
      await host.close();
    }
  });
});
