import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { basename } from 'node:path';

import type { DeviceBody, Frontend, VolumeBody } from '../../src/api/types.js';
import { accepts } from '../support/accepts.js';
import { attempt, run } from '../support/programs.js';
import { eventually, expectClean, iscsiDisks, startInitiators } from './support/devices.js';
import { FioLoad, longestGapMs } from './support/fio-load.js';
import { GuestAgent, mountDisk } from './support/guest-agent.js';
import { note } from './support/messages.js';

const MIB = 1024 * 1024;
const KILLS = 20;
const TREE = 'node_modules/mocha';
/**
 * From the moment at which the agent listens again until a write is answered. How long the agent takes until then
 * says nothing here, where its start is emulated and takes fifteen times as long; on a real processor it is
 * under a second (test/integration/crash.test.ts).
 */
const RETURN_MS_MAX = 5_000;
/** Of undisturbed load between two kills. */
const WRITES_BETWEEN_KILLS = 100;
const LOAD_BYTES = 32 * MIB;
const LOAD_REST_US = 20_000;
const KILLS_TIMEOUT_MS = 1_200_000;

describe('a volume as a device of this machine', () => {
  const agent = new GuestAgent();

  before(async () => {
    await mountDisk();
    await agent.start();
  });
  after(() => agent.kill());

  async function cli(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await agent.cli(...args);
    assert.equal(code, 0, `aurochs ${args.join(' ')}: ${stderr}\n${agent.log.slice(-2000)}`);
    return stdout;
  }

  async function device(volume: string): Promise<DeviceBody> {
    const { device } = JSON.parse(await cli('volume', 'show', volume, '-o', 'json')) as VolumeBody;
    assert.ok(device !== null);
    return device;
  }

  async function allocatedBytes(volume: string): Promise<number> {
    return Number((await agent.api.volume(volume)).allocatedBytes);
  }

  function nothingIsLeft(volume: string): void {
    assert.equal(existsSync(`/dev/aurochs/${volume}`), false);
    assert.deepEqual(iscsiDisks(), []);
    const nodes = '/etc/iscsi/nodes';
    const records = existsSync(nodes) ? readdirSync(nodes) : [];
    assert.deepEqual(
      records.filter((name) => name.endsWith(`:${volume}`)),
      [],
    );
    assert.doesNotMatch(readFileSync('/proc/mounts', 'utf8'), new RegExp(`/mnt/${volume} `));
  }

  it('comes over NBD while iscsid does not run, and says so', async () => {
    await cli('volume', 'create', 'auto', '--size', '64MiB');
    const out = await cli('volume', 'attach', 'auto', '--device');
    assert.match(
      out,
      /attached volume auto as \/dev\/aurochs\/auto \(\/dev\/nbd\d+\) over NBD: .*iscsid/,
    );
    await cli('volume', 'detach', 'auto');
    nothingIsLeft('auto');
  });

  it('comes over iSCSI once iscsid runs', async () => {
    await startInitiators();
    const out = await cli('volume', 'attach', 'auto', '--device');
    assert.match(out, /\/dev\/aurochs\/auto \(\/dev\/sd[a-z]+\) over iSCSI: /);
    await cli('volume', 'detach', 'auto');
    nothingIsLeft('auto');
  });

  for (const frontend of ['iscsi', 'nbd'] satisfies Frontend[]) {
    describe(`over ${frontend}`, () => {
      const name = `db-${frontend}`;
      const mountPoint = `/mnt/${name}`;

      it('is mounted by one command, and not let go while it is', async () => {
        await cli('volume', 'create', name, '--size', '256MiB');
        await cli('volume', 'attach', name, '--device', '--frontend', frontend);
        assert.equal((await device(name)).frontend, frontend);
        await cli('volume', 'mount', name, mountPoint);
        const detach = await agent.cli('volume', 'detach', name);
        assert.equal(detach.code, 11);
        assert.match(detach.stderr, new RegExp(mountPoint));
      });

      it('holds a real tree, whole after it was unmounted, checked and mounted again', async () => {
        await run('cp', '-a', TREE, `${mountPoint}/tree`);
        await cli('volume', 'unmount', name);
        await expectClean(`/dev/aurochs/${name}`);
        await cli('volume', 'mount', name, mountPoint);
        await run('diff', '-r', TREE, `${mountPoint}/tree`);
      });

      it(`goes on after each of ${KILLS} kills of the agent, without an error`, async function () {
        this.timeout(KILLS_TIMEOUT_MS);
        const stat = `/sys/block/${basename((await device(name)).kernelPath)}/stat`;
        const writes = (): number => Number(readFileSync(stat, 'utf8').trim().split(/\s+/)[4]);
        const load = new FioLoad({
          file: `${mountPoint}/load`,
          sizeBytes: LOAD_BYTES,
          restUs: LOAD_REST_US,
        });
        const address = frontend === 'iscsi' ? { port: 3260 } : { path: agent.nbdSocket };
        const kills: { at: number; served: number }[] = [];
        for (let kill = 0; kill < KILLS; ++kill) {
          const before = writes();
          await eventually('the load goes on', () => {
            assert.ok(!load.ended, `the load ended before kill ${kill}`);
            return writes() > before + WRITES_BETWEEN_KILLS ? true : undefined;
          });
          const at = Date.now();
          await agent.kill();
          agent.launch();
          await eventually('the agent listens again', async () =>
            (await accepts(address)) ? true : undefined,
          );
          kills.push({ at, served: Date.now() });
        }
        await agent.ready();
        await load.verified();
        const completions = load.completions();
        const pauses = kills.map(({ at }, index) =>
          longestGapMs(completions, at, kills[index + 1]?.at ?? Infinity),
        );
        const returns = kills.map(({ served }) => {
          const next = completions.find((time) => time >= served);
          return (next ?? Infinity) - served;
        });
        note(`${frontend}: pauses ${pauses.join(', ')} ms`);
        note(`${frontend}: of these after the agent listened ${returns.join(', ')} ms`);
        assert.doesNotMatch(await run('dmesg'), /I\/O error|Remounting filesystem read-only/);
        assert.ok(Math.max(...returns) < RETURN_MS_MAX);
      });

      it('goes on after the agent is stopped and started', async () => {
        await agent.stop();
        writeFileSync(`${mountPoint}/while-stopped`, 'waits in the page cache');
        await agent.start();
        await run('sync', '-f', mountPoint);
        assert.doesNotMatch(await run('dmesg'), /I\/O error|Remounting filesystem read-only/);
      });

      it('is snapshot under load, and reverted to what it was', async () => {
        writeFileSync(`${mountPoint}/before`, 'kept');
        const load = new FioLoad({ file: `${mountPoint}/load`, sizeBytes: 4 * MIB, restUs: 0 });
        await cli('snapshot', 'create', name, 's1');
        await load.verified();
        writeFileSync(`${mountPoint}/after`, 'lost');
        await cli('volume', 'unmount', name);
        await expectClean(`/dev/aurochs/${name}`);
        await cli('volume', 'detach', name);
        await cli('snapshot', 'revert', name, 's1');
        await cli('volume', 'attach', name, '--device', '--frontend', frontend);
        await expectClean(`/dev/aurochs/${name}`);
        await cli('volume', 'mount', name, mountPoint);
        assert.equal(readFileSync(`${mountPoint}/before`, 'utf8'), 'kept');
        assert.equal(existsSync(`${mountPoint}/after`), false);
      });

      it('grows while it is mounted, and its file system with it', async () => {
        const before = statfsSync(mountPoint).blocks;
        await cli('volume', 'expand', name, '--size', '512MiB');
        assert.ok(statfsSync(mountPoint).blocks > before * 1.8);
      });

      it('gives back what its file system does not use', async () => {
        mkdirSync(`${mountPoint}/gone`);
        writeFileSync(`${mountPoint}/gone/file`, Buffer.alloc(16 * MIB, 'x'));
        await run('sync', '-f', mountPoint);
        const before = await allocatedBytes(name);
        await run('rm', '-r', `${mountPoint}/gone`);
        await run('sync', '-f', mountPoint);
        assert.match(await cli('volume', 'trim', name), /^trimmed \d/);
        // Not all 16 MiB: removing the file has written to the journal.
        assert.ok((await allocatedBytes(name)) < before - 8 * MIB);
      });

      it('leaves nothing behind when it is detached', async () => {
        await cli('volume', 'unmount', name);
        await expectClean(`/dev/aurochs/${name}`);
        await cli('volume', 'detach', name);
        nothingIsLeft(name);
        assert.equal((await attempt('iscsiadm', '-m', 'session')).code, 21);
      });
    });
  }
});
