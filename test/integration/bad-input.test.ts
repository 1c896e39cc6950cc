import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { AgentProcess, CLI } from '../support/agent-process.js';
import { attempt, type ProgramResult } from '../support/programs.js';
import { Scratch } from '../support/scratch.js';

/** An error as a person sees it: what, next step, exit code; never a stack, never a result. */
function assertRefused(result: ProgramResult, code: number, what: RegExp): void {
  const shown = `${result.stdout}${result.stderr}`;
  assert.equal(result.code, code, shown);
  assert.match(result.stderr, /^error: /m);
  assert.match(result.stderr, what);
  assert.doesNotMatch(shown, /^ +at /m);
}

describe('values out of range', function () {
  this.timeout(120_000);

  const scratch = new Scratch();
  const agent = new AgentProcess(scratch);
  const replicas = (): string[] => readdirSync(join(agent.dataDirectory, 'disk0', 'replicas'));

  before(async () => {
    await agent.start();
    await agent.api.createVolume({ name: 'db', size: '64MiB' });
  });
  after(async () => {
    await agent.kill();
    scratch.remove();
  });

  const short = (): string => {
    const file = scratch.file('short-secret');
    writeFileSync(file, 'too-short');
    return file;
  };

  for (const [line, code, what] of [
    ['volume create Upper --size 1GiB', 2, /volume name "Upper" is not usable/],
    ['volume create ../escape --size 1GiB', 2, /volume name "\.\.\/escape" is not usable/],
    [`volume create ${'x'.repeat(64)} --size 1GiB`, 2, /is not usable/],
    ['volume create db --size 1GiB', 5, /db/],
    ['volume create new --size 0', 3, /1MiB/],
    ['volume create new --size 1KiB', 3, /1MiB/],
    ['volume create new --size 65TiB', 3, /TiB/],
    ['volume create new --size 100EiB', 2, /not a size/],
    ['volume create new --size 99999999999999999999', 2, /too many digits/],
    ['volume create new --size -1', 2, /size/],
    ['volume create new --size 1GiB --disk nowhere', 4, /nowhere/],
    ['volume create new --size 1GiB --initiator nonsense', 2, /nonsense/],
    ['volume create new --size 1GiB --chap-user a --chap-secret-file SHORT', 2, /12/],
    ['volume expand db --size 32MiB', 3, /64MiB|67108864/],
    ['volume expand db --size 65TiB', 3, /TiB/],
    ['volume show nobody', 4, /nobody/],
    ['volume attach nobody', 4, /nobody/],
    ['volume rm nobody', 4, /nobody/],
    ['snapshot create db Bad/Name', 2, /Bad\/Name/],
    ['snapshot show db never', 4, /never/],
    ['snapshot diff db --from never', 4, /never/],
    ['snapshot revert db never', 4, /never/],
    ['disk add /nowhere/at/all', 4, /\/nowhere\/at\/all/],
    ['disk rm nowhere', 4, /nowhere/],
  ] as const) {
    it(`are refused with exit code ${code}: ${line.slice(0, 70)}`, async () => {
      const args = line.split(' ').map((word) => (word === 'SHORT' ? short() : word));
      assertRefused(await agent.cli(...args), code, what);
      assert.deepEqual(
        (await agent.api.volumes()).map(({ name, sizeBytes }) => [name, sizeBytes]),
        [['db', String(64 * 1024 * 1024)]],
      );
      assert.equal(replicas().length, 1, 'something half-made was left');
      assert.equal((await agent.api.disks()).length, 1);
    });
  }

  for (const [line, code, what] of [
    ['--iscsi-portal nonsense', 2, /--iscsi-portal nonsense/],
    ['--iscsi-portal 127.0.0.1:65536', 2, /--iscsi-portal 127\.0\.0\.1:65536/],
    ['--nbd-listen unix:relative', 2, /--nbd-listen unix:relative/],
    ['--nbd-listen 0.0.0.0:0', 10, /can be reached from other machines/],
    ['--loops 0', 2, /--loops 0/],
    ['--loops many', 2, /--loops/],
    ['--io-backend magic', 2, /magic/],
    ['--log-level loud', 2, /loud/],
    ['--nbd-tls-cert /cert.pem', 2, /--nbd-tls-key/],
    ['--data-dir /proc/nowhere', 4, /--data-dir \/proc\/nowhere/],
    ['--data-dir /dev/null/x', 2, /--data-dir \/dev\/null\/x/],
    ['--nonsense', 2, /nonsense/],
  ] as const) {
    it(`stop the agent from starting: ${line}`, async () => {
      const data = scratch.file('other');
      const places = ['--data-dir', data, '--run-dir', scratch.file('other.run')];
      const [flag = '', value] = line.split(' ');
      const free = ['--iscsi-portal', '127.0.0.1:0', '--nbd-listen', `unix:${data}.nbd`];
      const rest = [...places, ...free];
      const at = rest.indexOf(flag);
      if (at >= 0) rest.splice(at, 2);
      const said = value === undefined ? [flag] : [flag, value];
      const result = await attempt(process.execPath, CLI, 'agent', ...said, ...rest);
      assertRefused(result, code, what);
      assert.equal(existsSync(`${data}.nbd`), false, 'a socket was left');
    });
  }
});

describe('a place that is taken', function () {
  this.timeout(60_000);

  let scratch: Scratch;
  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => {
    scratch.remove();
  });

  it('is a data directory with an agent: the second one names it and changes nothing', async () => {
    const agent = await new AgentProcess(scratch).start();
    try {
      const volume = await agent.volume('db', '64MiB');
      const second = new AgentProcess(scratch, { name: 'second' });
      const flags = second.flags.map((flag) =>
        flag === second.dataDirectory ? agent.dataDirectory : flag,
      );
      const result = await attempt(process.execPath, CLI, 'agent', ...flags);
      assertRefused(result, 11, new RegExp(agent.dataDirectory));
      assert.deepEqual((await agent.api.volume('db')).exports, volume.exports);
    } finally {
      await agent.kill();
    }
  });

  it('is a port: the agent names flag and address', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const agent = new AgentProcess(scratch);
    const flags = agent.flags.map((flag) => (flag === '127.0.0.1:0' ? `127.0.0.1:${port}` : flag));
    const result = await attempt(process.execPath, CLI, 'agent', ...flags);
    server.close();
    assertRefused(result, 11, new RegExp(`--iscsi-portal 127.0.0.1:${port}`));
    assert.equal(existsSync(agent.apiSocket), false);
    await agent.start(); // With a free one it starts in the same places.
    await agent.kill();
  });

  it('is a socket path with a file that is not a socket: it is left alone', async () => {
    const agent = new AgentProcess(scratch);
    writeFileSync(agent.apiSocket, 'precious');
    const result = await attempt(process.execPath, CLI, 'agent', ...agent.flags);
    assertRefused(result, 5, new RegExp(agent.apiSocket));
    assert.equal(readFileSync(agent.apiSocket, 'utf8'), 'precious');
  });

  it('is not a socket that a killed agent left', async () => {
    const agent = await new AgentProcess(scratch).start();
    await agent.kill();
    assert.equal(existsSync(agent.apiSocket), true);
    await agent.start();
    assert.equal(await agent.stop(), 0);
    assert.equal(existsSync(agent.apiSocket), false);
  });
});

describe('a disk added', function () {
  this.timeout(60_000);

  const scratch = new Scratch();
  const agent = new AgentProcess(scratch);
  before(() => agent.start());
  after(async () => {
    await agent.kill();
    scratch.remove();
  });

  it('twice is refused', async () => {
    const directory = scratch.file('twice');
    mkdirSync(directory);
    assert.equal((await agent.cli('disk', 'add', directory)).code, 0);
    assertRefused(await agent.cli('disk', 'add', directory), 5, new RegExp(directory));
  });

  it('that is a file or not writable to anybody is refused', async () => {
    const file = scratch.file('file');
    writeFileSync(file, '');
    const result = await agent.cli('disk', 'add', file);
    assertRefused(result, 2, new RegExp(file));
    const proc = await agent.cli('disk', 'add', '/proc');
    assert.notEqual(proc.code, 0);
    assert.match(proc.stderr, /^error: .*\/proc/);
  });
});
