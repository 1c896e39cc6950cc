import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';

import { attempt, run } from '../../support/programs.js';
import { eventually } from '../support/devices.js';
import { note } from '../support/messages.js';
import { FileLoad } from './file-load.js';
import {
  agent,
  CONTENT,
  devicePath,
  MOUNTS,
  mountOptions,
  property,
  restartedAfter,
  startTime,
  UNIT,
  untilActive,
  VOLUMES,
} from './service.js';

const STOPPED_MS = 5_000;
/** The agent starts in a second on a machine; software emulation is ten to twenty times slower. */
const PAUSE_MS_MAX = 45_000;

describe('the agent on the first boot', () => {
  let load: FileLoad | null = null;

  before(async () => {
    await untilActive();
    await run('modprobe', '-a', 'iscsi_tcp', 'sd_mod');
  });

  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    console.log(await run('journalctl', '-b', '-u', UNIT, '--no-pager', '-n', '40'));
  });

  /** Load on the mounted file system while `disturb` runs; resolves with the longest pause. */
  const underLoad = async (name: string, disturb: () => Promise<void>): Promise<number> => {
    load = await FileLoad.start(`${MOUNTS.netdev}/load`);
    const running = load;
    await eventually('writes', () => (running.writes > 20 ? true : undefined));
    await disturb();
    const { writes } = running;
    await eventually('writes go on', () => (running.writes > writes + 20 ? true : undefined));
    await running.stop();
    const options = mountOptions(MOUNTS.netdev) ?? 'not mounted';
    assert.match(options, /^rw,/);
    note(`${name}: longest pause ${(running.pauseMsMax / 1000).toFixed(1)} s`);
    return running.pauseMsMax;
  };

  it('is ready when systemd says that it is active', async () => {
    assert.equal(await property('StatusText'), 'serving 0 volumes');
    const { code, stderr } = await agent.cli('volume', 'ls');
    assert.equal(code, 0, stderr);
  });

  it('has what its unit gives it', async () => {
    const pid = await property('MainPID');
    assert.equal(await run('cat', `/proc/${pid}/oom_score_adj`), '-1000\n');
    const limits = await run('cat', `/proc/${pid}/limits`);
    assert.match(limits, /Max locked memory +unlimited/);
    assert.match(limits, /Max open files +1048576/);
  });

  it('lets members of its group use the API, and nobody else', async () => {
    const as = (group: string) =>
      attempt(
        ...(['setpriv', '--reuid', '65534', '--regid', group, '--clear-groups'] as const),
        ...['/usr/local/bin/aurochs', 'volume', 'ls'],
      );
    const member = await as('aurochs');
    assert.equal(member.code, 0, member.stderr);
    assert.notEqual((await as('nogroup')).code, 0);
  });

  it('offers volumes whose file systems are mounted', async () => {
    for (const kind of ['netdev', 'plain'] as const) {
      const name = VOLUMES[kind];
      for (const line of [
        ['create', name, '--size', '128MiB'],
        ['attach', name, '--device', '--frontend', 'iscsi'],
      ]) {
        const { code, stderr } = await agent.cli('volume', ...line);
        assert.equal(code, 0, stderr);
      }
      const disk = devicePath(name);
      await run('mkfs.ext4', '-q', disk);
      mkdirSync(MOUNTS[kind], { recursive: true });
      await run('mount', '-o', kind === 'netdev' ? '_netdev' : 'rw', disk, MOUNTS[kind]);
    }
  });

  it('is restarted under load, and no write fails', async () => {
    const before = await startTime();
    const pauseMs = await underLoad('restart', async () => {
      await run('systemctl', 'restart', UNIT);
    });
    assert.ok((await startTime()) > before);
    assert.ok(pauseMs < PAUSE_MS_MAX, `${pauseMs} ms`);
  });

  it('may be stopped for a while with devices in use, and no write fails', async () => {
    await underLoad('stop and start', async () => {
      await run('systemctl', 'stop', UNIT);
      assert.equal(await property('ActiveState'), 'inactive');
      assert.equal(await property('Result'), 'success');
      await new Promise((resolve) => setTimeout(resolve, STOPPED_MS));
      await run('systemctl', 'start', UNIT);
    });
  });

  it('is started again after a kill, and no write fails', async () => {
    await underLoad('kill', async () => {
      const before = await startTime();
      await run('systemctl', 'kill', '--kill-whom=main', '--signal=KILL', UNIT);
      await restartedAfter(before);
    });
  });

  it('is killed and started again by the watchdog when it hangs, and no write fails', async () => {
    await underLoad('hang', async () => {
      const before = await startTime();
      await run('systemctl', 'kill', '--kill-whom=main', '--signal=STOP', UNIT);
      await restartedAfter(before);
      const log = await run('journalctl', '-b', '-u', UNIT, '--no-pager');
      assert.match(log, /Watchdog timeout/);
    });
  });

  it('lets a child that it has started live on when it is stopped', async () => {
    // As a child of the agent would be: in its control group, and not its main process.
    const group = `/sys/fs/cgroup${await property('ControlGroup')}/cgroup.procs`;
    await run('sh', '-c', `echo $$ > ${group}; sleep 600 > /dev/null 2>&1 & echo $! > /run/child`);
    await run('systemctl', 'restart', UNIT);
    await run('sh', '-c', 'kill -0 $(cat /run/child) && kill $(cat /run/child)');
  });

  it('leaves what is in memory to the shutdown', () => {
    for (const mountPoint of Object.values(MOUNTS)) writeFileSync(`${mountPoint}/last`, CONTENT);
  });
});
