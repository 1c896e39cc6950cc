import assert from 'node:assert/strict';

import type { VolumeAttachBody } from '../../src/api/types.js';
import { AgentProcess, uriOf } from '../support/agent-process.js';
import { DigestProxy } from '../support/digest-proxy.js';
import { runSuite, type SuiteReport } from '../support/iscsi-test-suite.js';
import { RunningProgram } from '../support/programs.js';
import { Scratch } from '../support/scratch.js';
import {
  BY_THE_STANDARD,
  type Exception,
  FULLY_PROVISIONED,
  NOT_REMOVABLE,
  NOT_WRITE_PROTECTED,
  ONE_PATH,
} from './iscsi-conformance-exceptions.js';

/** What every run leaves out but those that are for it. */
const ORDINARY = [...NOT_REMOVABLE, ...NOT_WRITE_PROTECTED, ...BY_THE_STANDARD];

const needed = new Set<Exception>();

/** Fails with every skipped check and failed test that is not excused. */
function assertConforms(report: SuiteReport, ...lists: (readonly Exception[])[]): void {
  const exceptions = lists.flat();
  const excused = (test: string, says: string): boolean => {
    const found = exceptions.find(
      ({ test: only, says: what }) =>
        (only === undefined || test === only || test.startsWith(`${only}.`)) && what.test(says),
    );
    if (found !== undefined) needed.add(found);
    return found !== undefined;
  };
  const complaints = report.tests.flatMap(({ name, skips, failed, failures }) => [
    ...skips.filter((says) => !excused(name, says)).map((says) => `${name} skipped: ${says}`),
    ...failures.filter((says) => !excused(name, says)).map((says) => `${name} failed: ${says}`),
    ...(failed && failures.length === 0 ? [`${name} failed without saying why`] : []),
  ]);
  assert.deepEqual([...new Set(complaints)], []);
}

/** Requests that another volume serves until it is told to stop. */
function startLoad(uri: string): RunningProgram {
  const job = ['--ioengine=nbd', `--uri=${uri}`, '--rw=randrw', '--bs=4k', '--iodepth=16'];
  const time = ['--size=48M', '--time_based', '--runtime=600', '--output-format=json'];
  return new RunningProgram('fio', ['--name=load', ...job, ...time], 600_000);
}

async function requestsOf(load: RunningProgram): Promise<number> {
  load.child.kill('SIGINT');
  const { stdout } = await load.result;
  const { jobs } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
    jobs: { read: { total_ios: number }; write: { total_ios: number } }[];
  };
  return jobs.reduce((sum, { read, write }) => sum + read.total_ios + write.total_ios, 0);
}

/** The suite mostly waits, so its runs go side by side, each on a volume of its own. */
describe('iscsi-test-cu', function () {
  this.timeout(400_000);

  const scratch = new Scratch();
  const agent = new AgentProcess(scratch);
  const runs = new Map<string, Promise<SuiteReport>>();
  let proxy: DigestProxy;
  let load: RunningProgram;

  const start = (name: string, urls: readonly string[], tests = 'ALL'): void => {
    const run = runSuite(tests, urls);
    run.catch(() => undefined); // The test that waits for it tells.
    runs.set(name, run);
  };
  const reportOf = async (name: string): Promise<SuiteReport> => {
    const run = runs.get(name);
    assert.ok(run);
    return run;
  };
  const urlOf = async (name: string, form: VolumeAttachBody = {}): Promise<string> => {
    await agent.api.createVolume({ name, size: '64MiB' });
    return uriOf(await agent.api.attachVolume(name, form), 'iscsi');
  };

  before(async () => {
    await agent.start();
    start('one path', [await urlOf('one-path')]);
    const paths = await urlOf('two-paths');
    start('two paths', [paths, paths]);

    // All other suites write.
    start('read-only', [await urlOf('read-only', { readOnly: true })], 'ALL.ReadOnly');
    start('removable', [await urlOf('removable', { removable: true })]);
    start('full', [await urlOf('full', { provisioning: 'full' })]);

    load = startLoad(uriOf(await agent.volume('loaded', '64MiB'), 'nbd'));
    const url = await urlOf('digests');
    const portal = /^iscsi:\/\/([^/]+)\//.exec(url)?.[1] ?? '';
    proxy = new DigestProxy(portal);
    start('digests under load', [url.replace(portal, await proxy.listen())]);
  });
  after(async () => {
    await Promise.allSettled(runs.values());
    proxy?.close();
    load?.child.kill('SIGKILL');
    await agent.kill();
    scratch.remove();
  });

  it('finds nothing wrong over one session', async () => {
    assertConforms(await reportOf('one path'), ORDINARY, ONE_PATH);
  });

  it('finds nothing wrong over two sessions', async () => {
    assertConforms(await reportOf('two paths'), ORDINARY);
  });

  it('finds nothing wrong with digests on, while fio loads another volume', async () => {
    assertConforms(await reportOf('digests under load'), ORDINARY, ONE_PATH);
    assert.ok((await requestsOf(load)) > 1000);
    assert.ok(proxy.logins.withBoth > 0);
    assert.equal(proxy.logins.without, 0);
    assert.equal(proxy.mismatches, 0);
  });

  it('finds nothing wrong with a write-protected unit', async () => {
    assertConforms(await reportOf('read-only'));
  });

  it('finds nothing wrong with a removable unit', async () => {
    const exceptions = [NOT_WRITE_PROTECTED, ONE_PATH, BY_THE_STANDARD];
    assertConforms(await reportOf('removable'), ...exceptions);
  });

  it('finds nothing wrong with a fully provisioned unit', async () => {
    assertConforms(await reportOf('full'), ORDINARY, ONE_PATH, FULLY_PROVISIONED);
  });

  it('needs every exception that is listed', () => {
    const listed = [...ORDINARY, ...ONE_PATH, ...FULLY_PROVISIONED];
    const idle = listed.filter((each) => !needed.has(each)).map(({ reason }) => reason);
    assert.deepEqual(idle, []);
  });
});
