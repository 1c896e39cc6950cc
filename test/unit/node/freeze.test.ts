import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { hasCode } from '../../../src/core/errors.js';
import { SystemCommandRunner } from '../../../src/node/command.js';
import { freezeAll } from '../../../src/node/freeze.js';
import { Host } from '../../../src/node/host-namespaces.js';
import { root } from '../../support/repository.js';
import { Scratch } from '../../support/scratch.js';

/** Stands in for fsfreeze: a file system is frozen while its file is there. */
const FSFREEZE = (folder: string) => `#!/bin/sh
name=$(basename "$(readlink -f "$2")")
file="${folder}/frozen-$name"
case $1 in
  --freeze) test "$name" != bad || { echo "fsfreeze: $2: freeze failed" >&2; exit 1; }; echo $PPID > "$file" ;;
  --unfreeze) test -e "$file" || exit 1; rm "$file" ;;
esac
`;

describe('freezing', function () {
  this.timeout(20_000); // Starting Node takes seconds on a busy machine.

  const host = new Host(new SystemCommandRunner());
  const path = process.env['PATH'];
  let scratch: Scratch;

  beforeEach(() => {
    scratch = new Scratch();
    writeFileSync(scratch.file('fsfreeze'), FSFREEZE(scratch.path), { mode: 0o755 });
    process.env['PATH'] = `${scratch.path}:${path}`;
    for (const name of ['a', 'b', 'bad']) mkdirSync(scratch.file(name));
  });
  afterEach(() => {
    process.env['PATH'] = path;
    scratch.remove();
  });

  /** Its device is that of the directory it is in. */
  const mount = (name: string) => {
    const { dev } = statSync(scratch.path);
    const deviceNumber = `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
    return { mountPoint: scratch.file(name), deviceNumber };
  };
  const isFrozen = (name: string) => existsSync(scratch.file(`frozen-${name}`));
  const thawed = async (name: string): Promise<void> => {
    while (isFrozen(name)) await delay(10);
  };

  it('holds all file systems still until it is told, and says that they were', async () => {
    const thaw = await freezeAll(host, 'db', [mount('a'), mount('b')]);
    assert.deepEqual([isFrozen('a'), isFrozen('b')], [true, true]);
    assert.equal(await thaw(), true);
    assert.deepEqual([isFrozen('a'), isFrozen('b')], [false, false]);
  });

  it('freezes all or none', async () => {
    await assert.rejects(
      freezeAll(host, 'db', [mount('a'), mount('bad')]),
      (error) => hasCode(error, 'UNAVAILABLE') && /freeze failed/.test((error as Error).message),
    );
    await thawed('a');
  });

  it('freezes nothing else when the file system has been unmounted meanwhile', async () => {
    const gone = { ...mount('a'), deviceNumber: '7:99' };
    await assert.rejects(freezeAll(host, 'db', [gone]), /not mounted at .* any more/);
    assert.equal(isFrozen('a'), false);
  });

  it('thaws by itself when the agent takes too long, and says so', async () => {
    const thaw = await freezeAll(host, 'db', [mount('a')], 1);
    await thawed('a');
    assert.equal(await thaw(), false);
  });

  it('thaws when the process that waits is killed, and says so', async () => {
    const thaw = await freezeAll(host, 'db', [mount('a')]);
    process.kill(Number(readFileSync(scratch.file('frozen-a'), 'utf8')), 'SIGKILL');
    assert.equal(await thaw(), false);
    assert.equal(isFrozen('a'), false);
  });

  it('is not ended by the signals that end the agent', async () => {
    const thaw = await freezeAll(host, 'db', [mount('a')]);
    process.kill(Number(readFileSync(scratch.file('frozen-a'), 'utf8')), 'SIGTERM');
    assert.equal(await thaw(), true);
  });

  it('thaws at once when the agent is killed', async () => {
    const program = `
      const { freezeAll } = await import('${root}/dist/src/node/freeze.js');
      const { Host } = await import('${root}/dist/src/node/host-namespaces.js');
      await freezeAll(new Host({}), 'db', [${JSON.stringify(mount('a'))}]);
      console.log('frozen');`;
    const args = ['--input-type=module', '-e', program];
    const agent = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(agent.stdout, 'data'); // It lives on: it waits for the freezer.
    assert(isFrozen('a'));
    agent.kill('SIGKILL');
    await thawed('a');
  });
});
