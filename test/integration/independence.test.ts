import assert from 'node:assert/strict';

import { AgentProcess, uriOf } from '../support/agent-process.js';
import { blockJavaScript, inspectorAddress } from '../support/inspector.js';
import { RunningProgram } from '../support/programs.js';
import { Scratch } from '../support/scratch.js';

const BLOCKED_MS = 10_000;
const LOAD_S = 12;
/** Far below the time that JavaScript stands still, far above what a busy machine does to a request. */
const LATENCY_MS_MAX = 1_000;

interface FioReport {
  jobs: Record<'read' | 'write', { total_ios: number; clat_ns: { max: number } }>[];
}

describe('a JavaScript thread that stands still', function () {
  this.timeout(120_000);

  const scratch = new Scratch();
  const agent = new AgentProcess(scratch, { nodeArgs: ['--inspect=127.0.0.1:0'] });

  before(() => agent.start());
  after(async () => {
    await agent.kill();
    scratch.remove();
  });

  it('keeps no request of either frontend waiting', async () => {
    const [nbd, iscsi] = await Promise.all(
      ['nbd', 'iscsi'].map((name) => agent.volume(name, '64MiB')),
    );
    assert.ok(nbd && iscsi);
    const time = ['--time_based', `--runtime=${LOAD_S}`, '--size=64M'];
    const load = ['--rw=randrw', '--bs=4k', '--iodepth=4', '--rate_iops=2000'];
    const engine = ['--ioengine=nbd', `--uri=${uriOf(nbd, 'nbd')}`, '--output-format=json'];
    const fio = new RunningProgram('fio', ['--name=load', ...engine, ...load, ...time]);
    const perfArgs = ['-m', '4', '-b', '8', '-r', '-t', String(LOAD_S), uriOf(iscsi, 'iscsi')];
    const perf = new RunningProgram('iscsi-perf', perfArgs);
    const started = performance.now();
    await blockJavaScript(inspectorAddress(agent.log), BLOCKED_MS);
    const blockedMs = performance.now() - started;
    assert.ok(blockedMs >= BLOCKED_MS, 'JavaScript was not blocked');

    const printed = await fio.succeeded(); // Its engine says hello before the report.
    const { jobs } = JSON.parse(printed.slice(printed.indexOf('{'))) as FioReport;
    for (const kind of ['read', 'write'] as const) {
      const figures = jobs[0]?.[kind];
      assert.ok(figures !== undefined && figures.total_ios > 1000, `hardly any ${kind}`);
      const slowestMs = figures.clat_ns.max / 1e6;
      console.log(`      slowest NBD ${kind} of ${figures.total_ios}: ${slowestMs.toFixed(1)} ms`);
      assert.ok(slowestMs < LATENCY_MS_MAX, `a ${kind} took ${slowestMs} ms`);
    }
    const rates = iopsOf(await perf.succeeded());
    console.log(`      iSCSI reads a second: ${rates.join(' ')}`);
    assert.ok(rates.length >= BLOCKED_MS / 1000, 'iscsi-perf did not report every second');
    assert.ok(
      rates.every((rate) => rate > 100),
      'iSCSI reads stood still',
    );
    assert.equal((await agent.api.health()).state, 'ready');
  });
});

/** iscsi-perf prints a line a second: "00:00:07 - lba 61004, iops current 25530 (99 MB/s), …". */
function iopsOf(printed: string): number[] {
  return [...printed.matchAll(/iops current\s+(\d+)/g)].map((match) => Number(match[1]));
}
