import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

import { ApiClient } from '../../src/api/client.js';
import { RunningProgram, attempt } from '../support/programs.js';
import { Scratch } from '../support/scratch.js';

const START = fileURLToPath(new URL('../../../scripts/start.mjs', import.meta.url));
const UNTIL_READY_MS = 120_000;

/** What `npm start` does once everything is built. */
describe('npm start', function () {
  this.timeout(240_000);

  const scratch = new Scratch();
  const places = ['--data-dir', scratch.file('data'), `--run-dir=${scratch.file('run')}`];
  const free = ['--iscsi-portal', '127.0.0.1:0', '--nbd-listen', '127.0.0.1:0'];
  const api = new ApiClient({ socketPath: scratch.file('run', 'api.sock') });
  let first: RunningProgram | undefined;

  after(async () => {
    first?.child.kill('SIGTERM');
    await first?.result;
    await api.close();
    scratch.remove();
  });

  const start = async (): Promise<RunningProgram> => {
    const program = new RunningProgram(process.execPath, [START, ...places, ...free]);
    const deadline = Date.now() + UNTIL_READY_MS;
    while (!program.stdout.includes('until you press Ctrl-C')) {
      if (program.child.exitCode !== null) assert.fail((await program.result).stderr);
      assert.ok(Date.now() < deadline, `not ready: ${program.stdout}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return program;
  };
  const again = () => attempt(process.execPath, START, ...places, ...free);

  it('names the port that is taken, and leaves nothing running', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const taken = `127.0.0.1:${(server.address() as { port: number }).port}`;
    const rest = ['--iscsi-portal', taken, '--nbd-listen', '127.0.0.1:0'];
    const { code, stderr } = await attempt(process.execPath, START, ...places, ...rest);
    server.close();
    assert.equal(code, 11);
    assert.ok(stderr.includes(`error: --iscsi-portal ${taken}`), stderr);
    await assert.rejects(api.health());
  });

  it('starts an agent at the places that it was given, with a first volume', async () => {
    first = await start();
    assert.match(first.stdout, /iscsi:\/\/127\.0\.0\.1:\d+\/iqn\.2026-11\.io\.aurochs:first\/1/);
    assert.match(first.stdout, /nbd:\/\/127\.0\.0\.1:\d+\/first/);
    assert.match(first.stdout, /iscsiadm .*\n[^]*qemu-img [^]*nbd-client [^]*nbdinfo /);
  });

  it('shows the same a second time, and starts nothing', async () => {
    const { code, stdout } = await again();
    assert.equal(code, 0);
    assert.match(stdout, /^An agent is running already, at .*api\.sock/);
    assert.match(stdout, /nbd:\/\/127\.0\.0\.1:\d+\/first/);
  });

  it('leaves a volume detached that somebody has detached', async () => {
    await api.detachVolume('first', {});
    const { code, stdout } = await again();
    assert.equal(code, 0);
    assert.match(stdout, /No volume is attached\..*aurochs volume attach first/);
    assert.equal((await api.volume('first')).desiredAttached, false);
  });

  it('ends with its agent on Ctrl-C', async () => {
    first?.child.kill('SIGINT');
    assert.equal((await first?.result)?.code, 0);
    await assert.rejects(api.health());
  });
});
