import assert from 'node:assert/strict';
import { request } from 'node:http';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { statSync } from 'node:fs';
import { CLI } from '../support/agent-process.js';
import { CsiClient, withCode } from '../support/csi-client.js';
import { CsiDriver, FakeMachineAgent } from '../support/csi-processes.js';
import { attempt } from '../support/programs.js';
import { Scratch } from '../support/scratch.js';

describe('the CSI driver as a process', function () {
  this.timeout(120_000);

  const scratch = new Scratch();
  const inside = scratch.file('inside.sock');
  const beside = scratch.file('beside.sock');
  const metrics = scratch.file('metrics.sock');
  const agent = new FakeMachineAgent(scratch, {
    csiEndpoint: `unix://${inside}`,
    nodeName: 'worker-1',
    zone: 'here',
  });
  const flags = ['--mode', 'node', '--node-id', 'worker-1', '--metrics-listen', `unix:${metrics}`];
  const driver = new CsiDriver(beside, agent.apiSocket, flags);
  const clients = [new CsiClient(inside), new CsiClient(beside)] as const;
  before(async () => {
    await agent.start();
    await driver.start();
  });
  after(async () => {
    for (const client of clients) client.close();
    await driver.kill();
    await agent.kill();
    scratch.remove();
  });

  const csi = (...args: string[]) =>
    attempt(process.execPath, CLI, 'csi', '--api-socket', agent.apiSocket, ...args);

  it('tells the same of the node inside the agent and beside it', async () => {
    const [a, b] = await Promise.all(clients.map((client) => client.call('NodeGetInfo', {})));
    assert.deepEqual(a, b);
    const { segments } = (a as { accessibleTopology: { segments: object } }).accessibleTopology;
    assert.ok(Object.values(segments).includes('here'));
    for (const socket of [inside, beside]) assert.equal(statSync(socket).mode & 0o777, 0o600);
  });

  it('serves its mode and no more', async () => {
    await clients[0].call('ListVolumes', {});
    await assert.rejects(clients[1].call('ListVolumes', {}), withCode('UNIMPLEMENTED'));
  });

  it('counts its calls', async () => {
    const asking = request({ socketPath: metrics, path: '/metrics' }).end();
    const [answer] = (await once(asking, 'response')) as [IncomingMessage];
    let text = '';
    for await (const bytes of answer) text += String(bytes);
    assert.match(text, /aurochs_csi_calls_total\{method="NodeGetInfo",code="OK"\} 1/);
  });

  it('does not start for a node that the agent does not know, at a socket in use, or without one', async () => {
    const unknown = await csi('--endpoint', `unix://${scratch.file('x')}`, '--node-id', 'worker-2');
    assert.equal(unknown.code, 4);
    assert.match(unknown.stderr, /knows no node "worker-2"[^]*worker-1/);
    const inUse = await csi('--endpoint', `unix://${inside}`);
    assert.equal(inUse.code, 11);
    assert.match(inUse.stderr, /--endpoint .*in use/);
    const none = await csi();
    assert.equal(none.code, 2);
    assert.match(none.stderr, /--endpoint|CSI_ENDPOINT/);
  });

  it('takes the place of one that was killed, and stops when it is told to', async () => {
    await driver.kill();
    await driver.start();
    await clients[1].call('Probe', {});
    await driver.stop();
    assert.doesNotMatch(driver.log, /did not stop in time|a part did not stop/);
  });
});
