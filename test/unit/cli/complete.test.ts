import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { type Offer, complete } from '../../../src/cli/complete.js';
import { FakeAgent } from '../../support/fake-agent.js';
import { runCli } from '../../support/run-cli.js';
import { diskBody, snapshotBody, volumeBody } from './fixtures.js';

const offer = (...words: string[]): Offer => complete(words);

describe('shell completion', () => {
  it('offers nouns, verbs and nothing after an unknown one', () => {
    assert.deepEqual(offer('v'), { words: ['volume'] });
    assert.deepEqual(offer('snapshot', 're'), { words: ['revert'] });
    assert.deepEqual(offer('snapshot', 'g'), { words: ['group'] });
    assert.deepEqual(offer('snapshot', 'group', 's'), { words: ['show'] });
    assert.deepEqual(offer('nonsense', ''), { words: [] });
    assert.deepEqual(offer('volume', 'nonsense', ''), { words: [] });
  });

  it('offers the options that were not used yet', () => {
    assert.deepEqual(offer('volume', 'attach', 'db', '--read-only', '--'), {
      words: [
        '--frontend',
        '--device',
        '--removable',
        '--provision',
        '--api-socket',
        '--output',
        '--help',
        '--version',
      ],
    });
  });

  it('offers the values of an option', () => {
    assert.deepEqual(offer('volume', 'attach', '--frontend', 'n'), { words: ['nbd'] });
    assert.deepEqual(offer('volume', 'ls', '-o', ''), { words: ['table', 'json'] });
    assert.deepEqual(offer('completion', ''), { words: ['bash', 'zsh'] });
  });

  it('knows which kind of name belongs where', () => {
    assert.deepEqual(offer('volume', 'rm', '--yes', ''), { kind: 'volume' });
    assert.deepEqual(offer('snapshot', 'rm', 'db', 'm'), { kind: 'snapshot', volume: 'db' });
    const diff = offer('snapshot', 'diff', 'db', '--from', 'mon', '--to', '');
    assert.deepEqual(diff, { kind: 'snapshot', volume: 'db' });
    assert.deepEqual(offer('volume', 'create', 'x', '--disk', ''), { kind: 'disk' });
    assert.deepEqual(offer('volume', 'create', 'x', '--from', ''), { kind: 'volume' });
    assert.deepEqual(offer('volume', 'publish', 'db', ''), { kind: 'node' });
    assert.deepEqual(offer('snapshot', 'group', 'rm', ''), { kind: 'group' });
    const third = offer('snapshot', 'group', 'create', 'nightly', 'db', '');
    assert.deepEqual(third, { kind: 'volume' });
    assert.deepEqual(offer('volume', 'create', ''), { words: [] });
    assert.deepEqual(offer('volume', 'show', 'db', ''), { words: [] });
  });

  describe('with an agent', () => {
    let agent: FakeAgent;
    beforeEach(async () => {
      agent = await FakeAgent.start();
      agent.on('GET /v1/volumes', { body: { items: [volumeBody(), volumeBody({ name: 'web' })] } });
      agent.on('GET /v1/volumes/db/snapshots', { body: { items: [snapshotBody()] } });
      agent.on('GET /v1/disks', { body: { items: [diskBody()] } });
    });
    afterEach(() => agent.stop());

    const offered = async (...words: string[]): Promise<string> => {
      const env = { AUROCHS_API_SOCKET: agent.socketPath };
      return (await runCli(['--complete', ...words], { env })).stdout;
    };

    it('offers names of volumes, snapshots and disks', async () => {
      assert.equal(await offered('volume', 'show', ''), 'db\nweb\n');
      assert.equal(await offered('volume', 'show', 'w'), 'web\n');
      assert.equal(await offered('snapshot', 'revert', 'db', ''), 'mon\n');
      assert.equal(await offered('disk', 'rm', ''), 'd1\n');
    });

    it('works in bash', async () => {
      const cli = fileURLToPath(new URL('../../../src/cli/index.js', import.meta.url));
      const script = join(agent.directory, 'completion.bash');
      await writeFile(script, (await runCli(['completion', 'bash'])).stdout);
      const lines = [
        `aurochs() { "${process.execPath}" "${cli}" "$@"; }`,
        `source "${script}"`,
        'COMP_WORDS=(aurochs volume show w); COMP_CWORD=3; _aurochs',
        'echo "${COMPREPLY[@]}"',
      ];
      const env = { ...process.env, AUROCHS_API_SOCKET: agent.socketPath };
      const { stdout } = await promisify(execFile)('bash', ['-c', lines.join('\n')], { env });
      assert.equal(stdout, 'web\n');
    }).timeout(30_000);
  });

  it('is silent without an agent', async () => {
    const words = ['--complete', 'volume', 'show', '--api-socket', '/nowhere', ''];
    assert.deepEqual(await runCli(words), { code: 0, stdout: '', stderr: '' });
  });
});
