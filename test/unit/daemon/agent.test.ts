/** The whole agent as a process of its own, with the real data path. Needs the addon (npm run build). */
import { strict as assert } from 'node:assert';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient } from '../../../src/api/client.js';
import type { HealthBody } from '../../../src/api/types.js';
import type { AgentOptions } from '../../../src/daemon/run-agent.js';
import { loadBinding } from '../../../src/native/binding.js';

const RUN_AGENT = new URL('../../../src/daemon/run-agent.js', import.meta.url).href;
const RESTART_MS = 2000;

/** Runs like `aurochs agent`: what cannot be started ends with 1 and one line of JSON on standard output. */
const SCRIPT = `
  const { runAgent } = await import(${JSON.stringify(RUN_AGENT)});
  try {
    await runAgent(JSON.parse(process.argv[1]));
    process.exitCode = 0;
  } catch ({ code, message, hint }) {
    console.log(JSON.stringify({ code, message, hint }));
    process.exitCode = 1;
  }`;

class AgentProcess {
  readonly child: ChildProcess;
  readonly client: ApiClient;
  stdout = '';
  log = '';

  constructor(directory: string, options: AgentOptions = {}) {
    const all: AgentOptions = {
      dataDir: join(directory, 'data'),
      runDir: join(directory, 'run'),
      iscsiPortal: '127.0.0.1:0',
      nbdListen: [`unix:${join(directory, 'run/nbd.sock')}`],
      loops: 1,
      ...options,
    };
    const script = ['--input-type=module', '-e', SCRIPT, JSON.stringify(all)];
    this.child = spawn(process.execPath, script, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout?.on('data', (chunk) => (this.stdout += String(chunk)));
    this.child.stderr?.on('data', (chunk) => (this.log += String(chunk)));
    this.client = new ApiClient({ socketPath: all.apiSocket ?? join(directory, 'run/api.sock') });
  }

  async ready(): Promise<HealthBody> {
    for (;;) {
      if (this.child.exitCode !== null) assert.fail(`agent ended: ${this.stdout} ${this.log}`);
      try {
        const health = await this.client.health();
        if (health.state === 'ready' && health.pid === this.child.pid) return health;
      } catch {
        // Not listening yet.
      }
      await sleep(10);
    }
  }

  async end(signal?: NodeJS.Signals): Promise<number | null> {
    if (signal !== undefined) this.child.kill(signal);
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await once(this.child, 'exit');
    }
    return this.child.exitCode;
  }
}

/** Resolves once somebody accepts connections there. */
async function listening(socketPath: string): Promise<void> {
  for (;;) {
    const accepted = await new Promise<boolean>((resolve) => {
      const socket = connect(socketPath, () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
    if (accepted) return;
    await sleep(5);
  }
}

describe('the agent', function () {
  this.timeout(30_000);
  let directory: string;
  const running: AgentProcess[] = [];

  before(function () {
    try {
      loadBinding();
    } catch {
      this.skip();
    }
  });
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'aurochs-agent-'));
  });
  afterEach(async () => {
    for (const agent of running.splice(0)) await agent.end('SIGKILL');
    rmSync(directory, { recursive: true });
  });

  function start(options: AgentOptions = {}): AgentProcess {
    const agent = new AgentProcess(directory, options);
    running.push(agent);
    return agent;
  }

  async function refused(
    options: AgentOptions,
  ): Promise<{ code: string; message: string; hint: string }> {
    const agent = start(options);
    assert.equal(await agent.end(), 1);
    assert.ok(!agent.log.includes('    at '), 'no stack trace');
    return JSON.parse(agent.stdout) as { code: string; message: string; hint: string };
  }

  it('serves a volume on its own disk, and ends cleanly on SIGTERM', async () => {
    const agent = start();
    const health = await agent.ready();
    assert.match(health.addresses.iscsi[0] ?? '', /^127\.0\.0\.1:[1-9]\d*$/);
    await agent.client.createVolume({ name: 'db', size: '64MiB' });
    const volume = await agent.client.attachVolume('db', {});
    assert.deepEqual(volume.exports.map((each) => each.frontend).sort(), ['iscsi', 'nbd']);
    assert.equal(volume.replicas[0]?.diskPath, join(directory, 'data/disk0'));
    assert.equal(await agent.end('SIGTERM'), 0);
    assert.ok(!existsSync(join(directory, 'run/api.sock')));
    assert.match(agent.log, /agent has stopped/);
  });

  it('keeps its files to its own user', async () => {
    await start().ready();
    for (const path of ['data', 'data/state.db', 'data/disk0', 'run/api.sock']) {
      assert.equal(statSync(join(directory, path)).mode & 0o077, 0, path);
    }
  });

  it('serves every volume again within two seconds after SIGKILL', async () => {
    let agent = start();
    await agent.ready();
    for (const name of ['a', 'b', 'c', 'd']) {
      await agent.client.createVolume({ name, size: '64MiB' });
      await agent.client.attachVolume(name, {});
    }
    const timesMs: number[] = [];
    for (let epoch = 2; epoch < 5; ++epoch) {
      await agent.end('SIGKILL');
      const begin = Date.now();
      agent = start();
      await listening(join(directory, 'run/nbd.sock')); // It listens once its volumes are open.
      timesMs.push(Date.now() - begin);
      await agent.ready();
      for (const volume of await agent.client.volumes()) {
        assert.equal(volume.exports.length, 2);
        assert.equal(volume.epoch, String(epoch));
      }
    }
    // The quickest, as the machine that runs tests may be busy with other things.
    assert.ok(Math.min(...timesMs) < RESTART_MS, `took ${timesMs.join(', ')} ms`);
  });

  it('refuses a data directory that another agent has, and names both', async () => {
    const first = start();
    await first.ready();
    const error = await refused({ apiSocket: join(directory, 'other.sock') });
    assert.equal(error.code, 'BUSY');
    assert.ok(error.message.includes(join(directory, 'data')));
    assert.ok(error.message.includes(String(first.child.pid)));
    assert.match(error.hint, /--data-dir/);
  });

  it('refuses a port that is taken, and names flag and address', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    for (const flag of ['iscsiPortal', 'nbdListen']) {
      const error = await refused({ [flag]: `127.0.0.1:${address.port}` });
      assert.equal(error.code, 'BUSY');
      assert.ok(error.message.includes(`127.0.0.1:${address.port}`));
      assert.match(error.message, flag === 'nbdListen' ? /--nbd-listen/ : /--iscsi-portal/);
    }
    server.close();
  });

  it('refuses a data directory that is a file', async () => {
    writeFileSync(join(directory, 'file'), '');
    const error = await refused({ dataDir: join(directory, 'file') });
    assert.equal(error.code, 'INVALID_ARGUMENT');
    assert.match(error.message, /--data-dir .*file/);
  });

  it('refuses a store that is damaged, and leaves it as it is', async () => {
    mkdirSync(join(directory, 'data'));
    writeFileSync(join(directory, 'data/state.db'), 'not a database'.repeat(100));
    const error = await refused({});
    assert.equal(error.code, 'CORRUPTION');
    assert.ok(error.message.includes('state.db'));
    assert.match(readFileSync(join(directory, 'data/state.db'), 'utf8'), /^not a database/);
  });

  it('refuses a portal beyond loopback while a volume without CHAP is attached', async () => {
    const agent = start();
    await agent.ready();
    await agent.client.createVolume({ name: 'db', size: '64MiB' });
    await agent.client.attachVolume('db', {});
    await agent.end('SIGKILL');
    const discoveryChapFile = join(directory, 'chap.json');
    writeFileSync(discoveryChapFile, '{"user":"u","secret":"twelve bytes"}', { mode: 0o600 });
    const error = await refused({ iscsiPortal: '0.0.0.0:0', discoveryChapFile });
    assert.equal(error.code, 'FAILED_PRECONDITION');
    assert.match(error.message, /volume db.*0\.0\.0\.0/);
  });

  it('serves the others when one replica is damaged, and says which and why', async () => {
    let agent = start();
    await agent.ready();
    for (const name of ['good', 'bad']) {
      await agent.client.createVolume({ name, size: '64MiB' });
      await agent.client.attachVolume(name, {});
    }
    const bad = await agent.client.volume('bad');
    await agent.end('SIGKILL');
    const replica = bad.replicas[0];
    assert.ok(replica);
    const metadata = join(replica.diskPath, 'replicas', replica.directory, 'replica.json');
    writeFileSync(metadata, readFileSync(metadata, 'utf8').slice(0, -20));
    agent = start();
    await agent.ready();
    assert.equal((await agent.client.volume('good')).exports.length, 2);
    const found = await agent.client.volume('bad');
    assert.equal(found.robustness, 'faulted');
    assert.equal(found.problem?.code, 'CORRUPTION');
    assert.match(found.problem.message, /replica\.json/);
    assert.ok(found.problem.hint);
  });
});
