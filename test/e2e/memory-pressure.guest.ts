import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

import type { Frontend } from '../../src/api/types.js';
import { RunningProgram, run } from '../support/programs.js';
import { expectClean, startInitiators } from './support/devices.js';
import { GuestAgent, mountDisk } from './support/guest-agent.js';
import { note } from './support/messages.js';

const MIB = 1024 * 1024;
const FILL_TIMEOUT_MS = 300_000;

function memoryKib(field: string): number {
  return Number(
    new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/meminfo', 'utf8'))?.[1],
  );
}

/** The agent needs memory to write out what fills the memory. */
describe('a machine whose memory is full of what its own agent has to write', () => {
  const agent = new GuestAgent(['--lock-memory']);

  before(async () => {
    await mountDisk();
    await startInitiators();
    await agent.start();
    // As much as the kernel allows may wait, before it makes those who write wait.
    writeFileSync('/proc/sys/vm/dirty_background_ratio', '80');
    writeFileSync('/proc/sys/vm/dirty_ratio', '90');
  });
  after(() => agent.kill());

  for (const frontend of ['iscsi', 'nbd'] satisfies Frontend[]) {
    it(`goes on writing over ${frontend}`, async () => {
      const name = `db-${frontend}`;
      const mountPoint = `/mnt/${name}`;
      await agent.api.createVolume({ name, size: '3GiB' });
      await agent.api.attachVolume(name, { device: { frontend } });
      await agent.api.mountVolume(name, { mountPoint });
      const freeMib = Math.floor(memoryKib('MemAvailable') / 1024);
      const countMib = 2 * freeMib;
      const file = `${mountPoint}/file`;
      const fill = `yes 'more than the memory holds' | dd of=${file} bs=1M count=${countMib} iflag=fullblock`;
      let dirtyMib = 0;
      const look = setInterval(() => {
        dirtyMib = Math.max(dirtyMib, (memoryKib('Dirty') + memoryKib('Writeback')) / 1024);
      }, 200);
      const started = performance.now();
      await new RunningProgram('sh', ['-c', fill], FILL_TIMEOUT_MS).succeeded();
      await run('sync', '-f', mountPoint);
      clearInterval(look);
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      note(
        `${frontend}: ${countMib} MiB with ${freeMib} MiB free took ${seconds} s, up to ${dirtyMib.toFixed(0)} MiB waited`,
      );
      assert.equal(await run('stat', '-c', '%s', file), `${countMib * MIB}\n`);
      await agent.api.unmountVolume(name, {});
      await expectClean(`/dev/aurochs/${name}`);
      await agent.api.detachVolume(name, {});
      await agent.api.deleteVolume(name);
    });
  }
});
