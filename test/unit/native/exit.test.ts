import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { STEPS } from './steps.js';
import { TempDisk, createHost } from './support.js';

const CHILD = fileURLToPath(new URL('child.js', import.meta.url));
const CHILD_TIMEOUT_MS = 60_000;

function runChild(...args: string[]) {
  return spawnSync(process.execPath, [CHILD, ...args], {
    encoding: 'utf8',
    timeout: CHILD_TIMEOUT_MS,
  });
}

describe('the addon when its environment ends', function () {
  this.timeout(2 * CHILD_TIMEOUT_MS);
  let disk: TempDisk;

  beforeEach(() => {
    disk = new TempDisk();
  });
  afterEach(() => disk.remove());

  /** What an orderly end has to leave: a replica that opens and has nothing to find. */
  async function expectSoundReplica(): Promise<void> {
    if (!existsSync(join(disk.path, 'replicas', 'replica', 'replica.json'))) return;
    const host = createHost();
    try {
      const findings = await host.fsckReplica(disk.path, 'replica');
      assert.deepEqual(findings, []);
      const volume = await host.openVolume(disk.path, 'replica', 3n);
      await volume.close();
    } finally {
      await host.close();
    }
  }

  for (const step of STEPS) {
    it(`ends with process.exit: ${step}`, async () => {
      const { status, signal, stderr } = runChild('exit', step, disk.path);
      assert.deepEqual({ status, signal, stderr }, { status: 7, signal: null, stderr: '' });
      await expectSoundReplica();
    });
  }

  for (const step of ['serving', 'closing the host'] as const) {
    it(`ends with an exception that nobody catches: ${step}`, async () => {
      const { status, signal, stderr } = runChild('throw', step, disk.path);
      assert.deepEqual({ status, signal }, { status: 1, signal: null });
      assert.match(stderr, /thrown on purpose/);
      await expectSoundReplica();
    });
  }

  it('ends by itself once the host is closed', () => {
    const { status, signal, stderr } = runChild('exit', 'never', disk.path);
    assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' });
  });

  it('leaves no thread and no descriptor of a worker that is terminated at any step', () => {
    const { status, signal, stdout, stderr } = runChild('worker', disk.path);
    assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' });
    assert.match(stdout, /ended workers/);
  });
});
