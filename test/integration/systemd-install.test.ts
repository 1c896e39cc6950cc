/** Installation into a staging directory: everything that works without a running systemd. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { root } from '../support/repository.js';
import { Scratch } from '../support/scratch.js';

const LIBRARY = 'usr/local/lib/aurochs';
const UNITS = 'usr/local/lib/systemd/system';

describe('the installation as a service', function () {
  this.timeout(300_000);
  const scratch = new Scratch();
  const staged = (...names: string[]): string => scratch.file('staging', ...names);

  const npm = (script: string): string => {
    const env = { ...process.env, DESTDIR: staged() };
    const child = spawnSync('npm', ['run', '--silent', script], {
      cwd: root,
      encoding: 'utf8',
      env,
    });
    assert.equal(child.status, 0, child.stdout + child.stderr);
    return child.stdout;
  };
  const filesBelow = (directory: string): string[] =>
    readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter(
      (name) => !statSync(join(directory, name)).isDirectory(),
    );

  before(() => npm('install:systemd'));
  after(() => scratch.remove());

  it('runs without the checkout, and is a tenth of it', async () => {
    const { stdout } = spawnSync(staged('usr/local/bin/aurochs'), ['doctor', '-o', 'json'], {
      encoding: 'utf8',
      cwd: '/',
      env: { PATH: process.env['PATH'], AUROCHS_API_SOCKET: scratch.file('none') },
    });
    const findings = JSON.parse(stdout) as { check: string; message: string }[];
    const io = findings.find(({ check }) => check === 'io_uring');
    assert.ok(io !== undefined && !io.message.includes('cannot be loaded'), io?.message);
    const program = readFileSync(staged('usr/local/bin/aurochs'), 'utf8');
    assert.ok(!program.includes(root), program);
    assert.ok(!existsSync(staged(LIBRARY, 'current/node_modules/typescript')));
  });

  it('serves a volume from where it was installed', async () => {
    const flags = ['--data-dir', scratch.file('data'), '--run-dir', scratch.file('run')];
    const listen = ['--iscsi-portal', '127.0.0.1:0', '--nbd-listen', `unix:${scratch.file('nbd')}`];
    const script = `"$0" agent "$@" & pid=$!; trap 'kill $pid; wait $pid' EXIT
      until "$0" volume ls --api-socket ${scratch.file('run/api.sock')} 2>/dev/null; do sleep 0.2; done
      export AUROCHS_API_SOCKET=${scratch.file('run/api.sock')}
      "$0" volume create db --size 1MiB && "$0" volume attach db`;
    const child = spawnSync(
      'sh',
      ['-c', script, staged('usr/local/bin/aurochs'), ...flags, ...listen],
      { cwd: '/', encoding: 'utf8' },
    );
    assert.match(child.stdout, /iqn\.2026-11\.io\.aurochs:db/, child.stderr);
  });

  it('installs units that systemd accepts', function () {
    if (spawnSync('systemd-analyze', ['--version']).status !== 0) this.skip();
    const directory = scratch.file('units');
    mkdirSync(directory);
    for (const unit of ['aurochs-agent.service', 'aurochs-devices.service']) {
      // Programs are looked up below the real root.
      const text = readFileSync(staged(UNITS, unit), 'utf8');
      writeFileSync(
        join(directory, unit),
        text.replaceAll('=/usr/local/', `=${staged()}/usr/local/`),
      );
    }
    const units = readdirSync(directory).map((unit) => join(directory, unit));
    const child = spawnSync('systemd-analyze', ['verify', '--man=no', ...units], {
      encoding: 'utf8',
    });
    assert.equal(child.stdout + child.stderr, '');
    assert.equal(child.status, 0);
  });

  it('gives the agent flags that it knows', () => {
    const unit = readFileSync(staged(UNITS, 'aurochs-agent.service'), 'utf8');
    const line = /^ExecStart=\S+ agent (.*) \$AUROCHS_AGENT_FLAGS$/m.exec(unit)?.[1] ?? '';
    const { stdout } = spawnSync(staged('usr/local/bin/aurochs'), ['agent', '--help'], {
      encoding: 'utf8',
    });
    const flags = line.split(' ').filter((word) => word.startsWith('--'));
    assert.ok(flags.length > 0, unit);
    for (const flag of flags) assert.ok(stdout.includes(flag), `${flag} is not in ${stdout}`);
  });

  it('changes nothing when it is repeated', () => {
    const version = readlinkSync(staged(LIBRARY, 'current'));
    const changedMs = statSync(staged(UNITS, 'aurochs-agent.service')).mtimeMs;
    npm('install:systemd');
    assert.equal(readlinkSync(staged(LIBRARY, 'current')), version);
    assert.equal(statSync(staged(UNITS, 'aurochs-agent.service')).mtimeMs, changedMs);
    assert.equal(readdirSync(staged(LIBRARY, 'versions')).length, 1);
  });

  it('leaves no file behind when it is removed, and may be removed again', () => {
    npm('uninstall:systemd');
    assert.deepEqual(filesBelow(staged()), []);
    npm('uninstall:systemd');
  });
});
