import assert from 'node:assert/strict';
import { CSI_AGENT_CONNECTIONS_MAX } from '../../../src/core/limits.js';
import { silentLogger } from '../../../src/core/logger.js';
import { startCsi } from '../../../src/daemon/csi.js';
import { CSI_FLAGS, resolveCsiConfig } from '../../../src/daemon/csi-config.js';
import { Lifecycle } from '../../../src/daemon/lifecycle.js';
import { CsiClient } from '../../support/csi-client.js';
import { FakeAgent } from '../../support/fake-agent.js';
import { Scratch } from '../../support/scratch.js';

describe('csi driver, composed', () => {
  const scratch = new Scratch();
  const socketPath = scratch.file('csi.sock');
  const lifecycle = new Lifecycle(silentLogger);
  let agent: FakeAgent;
  let client: CsiClient;
  before(async () => {
    agent = await FakeAgent.start();
    const node = { id: 'n', name: 'n', zone: null, tags: [], createdAt: '' };
    agent.on('GET /v1/nodes', { body: { items: [node] } });
    agent.on('GET /v1/health', { body: { state: 'ready' } });
    const config = resolveCsiConfig({ endpoint: `unix://${socketPath}` }, CSI_FLAGS);
    await startCsi(config, agent.socketPath, silentLogger, lifecycle);
    client = new CsiClient(socketPath);
  });
  after(async () => {
    client.close();
    await agent.stop();
    await lifecycle.stopAll();
    scratch.remove();
  });

  it('answers Probe while the agent answers none of as many requests as it may have', async () => {
    const asked = Array.from({ length: CSI_AGENT_CONNECTIONS_MAX }, (_, i) => {
      const volumeId = `v${i}`;
      return new Promise<void>((reached) => {
        agent.on(`GET /v1/volumes/${volumeId}/usage?path=%2Ft`, () => reached());
        const call = client.call('NodeGetVolumeStats', { volumeId, volumePath: '/t' });
        call.catch(() => undefined); // It ends with the agent.
      });
    });
    await Promise.all(asked);
    const deadline = Date.now() + 1_500;
    const { ready } = await client.call('Probe', {}, { deadline });
    assert.equal(ready.value, true);
  });
});
