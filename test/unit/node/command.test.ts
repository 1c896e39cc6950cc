import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

import { CommandError, SystemCommandRunner } from '../../../src/node/command.js';
import { LocalMachine } from '../../../src/node/machine.js';

describe('SystemCommandRunner', () => {
  const runner = new SystemCommandRunner();

  const failure = async (program: string, ...args: string[]): Promise<CommandError> => {
    const error: unknown = await runner.run(program, args).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof CommandError);
    return error;
  };

  it('returns what a program printed, without a shell in between', async () => {
    const { stdout, stderr } = await runner.run('printf', ['%s', '$HOME; "quoted"']);
    assert.deepEqual([stdout, stderr], ['$HOME; "quoted"', '']);
  });

  it('tells the exit code and the last line of what a program complained about', async () => {
    const error = await failure('sh', '-c', 'echo one >&2; echo two >&2; exit 15');
    assert.equal(error.exitCode, 15);
    assert.equal(error.stderr, 'one\ntwo\n');
    assert.match(error.message, /ended with code 15: two$/);
    assert.equal(error.missing, false);
  });

  it('tells a program that is not installed from one that failed', async () => {
    const error = await failure('aurochs-no-such-program');
    assert.equal(error.missing, true);
    assert.equal(error.exitCode, null);
    assert.match(error.message, /is not installed$/);
  });

  it('lets programs be killed for want of memory, also where the agent must not be', async function () {
    const own = '/proc/self/oom_score_adj';
    const before = readFileSync(own, 'utf8');
    try {
      writeFileSync(own, '-900');
    } catch {
      this.skip(); // Only root may.
    }
    try {
      // It looks when its input has ended, and so has been let go.
      const args = ['-c', `cat; exec cat ${own}`];
      assert.equal((await runner.run('sh', args)).stdout, '0\n');
    } finally {
      writeFileSync(own, before);
    }
  });

  it('names the signal that ended a program', async () => {
    assert.match((await failure('sh', '-c', 'kill -TERM $$')).message, /was ended by SIGTERM$/);
  });
});

describe('LocalMachine', () => {
  const machine = new LocalMachine();

  it('finds programs that are not in the PATH of a user', async () => {
    assert.match((await machine.findProgram('sh')) ?? '', /\/sh$/);
    assert.equal(await machine.findProgram('aurochs-no-such-program'), null);
  });

  it('looks at the nearest directory that exists', async () => {
    const info = await machine.fileSystemOf('/proc/self/no/such/place');
    assert.equal(info.directory, '/proc/self');
  });

  it('reads nothing where nothing is', async () => {
    assert.equal(await machine.readText('/nowhere/file'), null);
    assert.deepEqual(await machine.listDirectory('/nowhere'), []);
  });
});
