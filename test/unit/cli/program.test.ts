import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { FakeAgent, errorBody } from '../../support/fake-agent.js';
import { runCli } from '../../support/run-cli.js';
import { everyCommand } from './every-command.js';
import { diskBody, volumeBody } from './fixtures.js';

const CLI = fileURLToPath(new URL('../../../src/cli/index.js', import.meta.url));
const NOWHERE = '/nowhere/api.sock';

async function refusal(
  ...args: string[]
): Promise<{ code: number; message: string; next: string }> {
  const { code, stdout, stderr } = await runCli(args);
  assert.equal(stdout, '');
  const match = /^error: (.*)\nnext: (.*)\n$/.exec(stderr);
  assert.ok(match, `not an error message: ${stderr}`);
  return { code, message: match[1] ?? '', next: match[2] ?? '' };
}

describe('the command line', () => {
  it('suggests the command that was probably meant', async () => {
    assert.equal((await refusal('volum')).next, 'Did you mean: aurochs volume');
    const wrong = await refusal('snapshot', 'creat', 'db');
    assert.equal(wrong.code, 2);
    assert.equal(wrong.message, 'there is no command "snapshot creat"');
    assert.equal(wrong.next, 'Did you mean: aurochs snapshot create');
  });

  it('names the help page of what was used wrongly', async () => {
    assert.equal((await refusal()).next, 'See: aurochs --help');
    assert.equal((await refusal('disk')).next, 'See: aurochs disk --help');
    assert.equal((await refusal('xyzzy')).message, 'there is no command "xyzzy"');
    const missing = await refusal('volume', 'show');
    assert.deepEqual(missing, {
      code: 2,
      message: '<volume> is missing',
      next: 'See: aurochs volume show --help',
    });
    assert.equal((await refusal('volume', 'ls', '--sice')).message, 'unknown argument: sice');
    assert.equal(
      (await refusal('volume', 'create', 'x', '--size')).message,
      '--size needs a value',
    );
    assert.equal((await refusal('volume', 'ls', '-o')).message, '-o needs a value');
    assert.equal((await refusal('volume', 'create', 'x')).message, '--size is missing');
    assert.equal((await refusal('snapshot', 'show', 'db')).message, '<snapshot> is missing');
    const typo = await refusal('volume', 'create', 'x', '--siz', '1GiB');
    assert.equal(typo.message, 'unknown argument: siz');
    const secret = ['--chap-user', 'a', '--chap-secret-file', '/nowhere/secret'];
    assert.equal(
      (await refusal('volume', 'create', 'x', '--size', '1G', ...secret)).message,
      'cannot read the secret file /nowhere/secret: ENOENT',
    );
    const half = await refusal('volume', 'create', 'x', '--size', '1G', '--chap-user', 'a');
    assert.equal(half.message, '--chap-user needs --chap-secret-file');
    const twice = await refusal('volume', 'create', 'x', '--size', '1G', '--size', '2G');
    assert.equal(twice.message, '--size was given more than once');
    assert.equal((await refusal('disk', 'ls', '-o', 'json', '-o', 'table')).code, 2);
    const format = await refusal('disk', 'ls', '-o', 'xml');
    assert.equal(format.message, 'output cannot be "xml"; choose from "table", "json"');
  });

  it('says how to start an agent when none runs', async () => {
    const { code, message, next } = await refusal('volume', 'ls', '--api-socket', NOWHERE);
    assert.equal(code, 12);
    assert.equal(message, `no agent answers at ${NOWHERE}`);
    assert.match(next, /aurochs agent/);
  });

  it('finds the agent by the environment, and the option wins', async () => {
    const agent = await FakeAgent.start();
    try {
      agent.on('GET /v1/disks', { body: { items: [diskBody()] } });
      const env = { AUROCHS_API_SOCKET: agent.socketPath };
      const found = await runCli(['disk', 'ls'], { env });
      assert.match(found.stdout, /^d1 +\/srv\/fast +ext4 +100GiB +50GiB +1 +- +-$/m);
      assert.equal((await runCli(['disk', 'ls', '--api-socket', NOWHERE], { env })).code, 12);
    } finally {
      await agent.stop();
    }
  });

  it('tells a server that is no agent, an answer cut short and a refused socket apart from a bug', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'aurochs-cli-'));
    const socket = join(directory, 's');
    const server = createServer((connection) => connection.end('hello there\r\n'));
    await new Promise<void>((listening) => server.listen(socket, listening));
    try {
      const garbage = await refusal('volume', 'ls', '--api-socket', socket);
      assert.equal(garbage.code, 12);
      assert.match(garbage.message, /is not an agent/);
      if (process.getuid?.() !== 0) {
        await chmod(socket, 0o000);
        assert.equal((await refusal('volume', 'ls', '--api-socket', socket)).code, 6);
      }
    } finally {
      server.close();
      await rm(directory, { recursive: true });
    }
  });

  it('shows a stack only when asked to debug', async () => {
    const args = ['volume', 'ls', '--api-socket', NOWHERE];
    assert.doesNotMatch((await runCli(args)).stderr, /^ +at /m);
    assert.match((await runCli(args, { env: { AUROCHS_DEBUG: '1' } })).stderr, /^ +at /m);
  });

  it('turns a code that it does not know into an internal error', async () => {
    const agent = await FakeAgent.start();
    try {
      const body = errorBody('FROM_THE_FUTURE', 'something new');
      agent.on('GET /v1/sessions', { status: 500, body });
      const { code, stderr } = await runCli(['session', 'ls', '--api-socket', agent.socketPath]);
      assert.deepEqual([code, stderr], [1, 'error: something new\n']);
    } finally {
      await agent.stop();
    }
  });

  for (const { path, spec } of everyCommand()) {
    it(`has examples that use "${path}" and positionals as its usage says`, () => {
      assert.ok(spec.examples.length > 0, 'no example');
      for (const [line] of spec.examples) assert.ok(line.includes(`$0 ${path}`), line);
      const inUsage = [...spec.usage.matchAll(/[<[](\w+)(?:\.\.)?[>\]]/g)].map((match) => match[1]);
      assert.deepEqual(Object.keys(spec.positionals), inUsage);
    });
  }
});

describe('the program aurochs', function () {
  this.timeout(30_000);

  it('prints help with examples and exit codes', () => {
    const { status, stdout } = spawnSync(process.execPath, [CLI, '--help'], { encoding: 'utf8' });
    assert.equal(status, 0);
    assert.match(stdout, /aurochs volume create db --size 10GiB/);
    assert.match(stdout, /12 UNAVAILABLE/);
  });

  it('prints help of a command without an agent', () => {
    const args = [CLI, 'snapshot', 'diff', '--help'];
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.equal(status, 0);
    assert.match(stdout, /Examples:\n +aurochs snapshot diff db --from before-upgrade/);
  });

  it('ends quietly when its reader has seen enough', async () => {
    const agent = await FakeAgent.start();
    try {
      const items = Array.from({ length: 5000 }, (_, i) => volumeBody({ name: `v${i}` }));
      agent.on('GET /v1/volumes', { body: { items } });
      const line = `"$0" "$1" volume ls -o json --api-socket "$2" | head -1; echo "\${PIPESTATUS[0]}"`;
      const bash = ['-c', line, process.execPath, CLI, agent.socketPath];
      const { stdout, stderr } = await promisify(execFile)('bash', bash);
      assert.deepEqual([stdout, stderr], ['[\n0\n', '']);
    } finally {
      await agent.stop();
    }
  });
});
