import assert from 'node:assert/strict';
import { CommandError, type CommandRunner } from '../../../src/node/command.js';
import type { Finding } from '../../../src/node/doctor.js';
import { checkService } from '../../../src/node/doctor-service.js';
import type { Machine } from '../../../src/node/machine.js';

const IN_ORDER = {
  LoadState: 'loaded',
  UnitFileState: 'enabled',
  ActiveState: 'active',
  MainPID: '42',
};
const FILES = {
  '/usr/local/lib/aurochs/current/version-name': '0.2.0-aaaa\n',
  '/proc/42/cmdline':
    'node\0/usr/local/lib/aurochs/versions/0.2.0-aaaa/dist/src/cli/index.js\0agent\0',
};

/** What the check says where `systemctl show` prints `unit`; null: where systemctl fails. */
function look(
  unit: Record<string, string> | null,
  files: Record<string, string> = FILES,
): Promise<Finding> {
  const machine: Machine = {
    kernelRelease: '6.1.0',
    readText: (path) => Promise.resolve(files[path] ?? null),
    listDirectory: () => Promise.resolve([]),
    exists: (path) => Promise.resolve(path === '/run/systemd/system' && !('no systemd' in files)),
    findProgram: () => Promise.resolve(null),
    fileSystemOf: () => Promise.reject(new Error('not asked for')),
  };
  const runner: CommandRunner = {
    run: (program, args) => {
      if (unit === null) return Promise.reject(new CommandError(program, args, 1, '', 'ended'));
      const lines = Object.entries(unit).map(([name, value]) => `${name}=${value}\n`);
      return Promise.resolve({ stdout: lines.join(''), stderr: '' });
    },
  };
  return checkService(machine, runner);
}

describe('doctor on the service', () => {
  it('is content where the agent runs, is started at boot and is the one installed', async () => {
    assert.equal((await look(IN_ORDER)).severity, 'ok');
  });

  it('is content without systemd', async () => {
    assert.equal((await look(null, { 'no systemd': '' })).severity, 'ok');
  });

  for (const [what, unit, hint] of [
    ['is not installed', { ...IN_ORDER, LoadState: 'not-found' }, /install:systemd/],
    ['is not started at boot', { ...IN_ORDER, UnitFileState: 'disabled' }, /systemctl enable/],
    ['does not run', { ...IN_ORDER, ActiveState: 'activating' }, /journalctl/],
    ['cannot be asked for', null, /systemctl status/],
  ] as const) {
    it(`warns when it ${what}, with the next step`, async () => {
      const finding = await look(unit);
      assert.equal(finding.severity, 'warning');
      assert.match(finding.hint ?? '', hint);
    });
  }

  it('warns when the agent still runs the version before an upgrade', async () => {
    const files = { ...FILES, '/usr/local/lib/aurochs/current/version-name': '0.2.0-bbbb\n' };
    const finding = await look(IN_ORDER, files);
    assert.match(finding.hint ?? '', /systemctl restart .*volumes stay attached/);
  });
});
