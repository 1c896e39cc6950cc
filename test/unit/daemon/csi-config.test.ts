import { strict as assert } from 'node:assert';
import { AurochsError } from '../../../src/core/errors.js';
import { resolveConfig } from '../../../src/daemon/config.js';
import { AGENT_CSI_FLAGS, CSI_FLAGS, resolveCsiConfig } from '../../../src/daemon/csi-config.js';

const AROUND = { isRoot: true, env: {}, home: '/root', processors: 2 };

describe('the configuration of the CSI driver', () => {
  it('takes UNIX sockets in both of their forms, and serves all without a mode', () => {
    for (const endpoint of ['unix:///run/csi.sock', 'unix:/run/csi.sock']) {
      const { socketPath, mode, nodeId, metrics } = resolveCsiConfig({ endpoint }, CSI_FLAGS);
      assert.deepEqual(
        [socketPath, mode, nodeId, metrics],
        ['/run/csi.sock', 'all', undefined, null],
      );
    }
  });

  it('takes a place for the metrics', () => {
    const at = (metricsListen: string) =>
      resolveCsiConfig({ endpoint: 'unix:///c', metricsListen }, CSI_FLAGS).metrics;
    assert.deepEqual(at('127.0.0.1:9808'), { host: '127.0.0.1', port: 9808 });
    assert.deepEqual(at('[::1]:0'), { host: '::1', port: 0 });
    assert.deepEqual(at('unix:/run/m.sock'), { path: '/run/m.sock' });
  });

  it('names the flag that is wrong, as the command calls it', () => {
    const long = `unix:///${'x'.repeat(107)}`;
    const wrong: [object, RegExp][] = [
      ...['tcp://127.0.0.1:1', 'unix://relative', 'unix:relative', '/run/csi.sock', long].map(
        (endpoint): [object, RegExp] => [{ endpoint }, /--csi-endpoint/],
      ),
      [{ mode: 'both' }, /--csi-mode both/],
      [{ metricsListen: 'nowhere' }, /--csi-metrics-listen nowhere/],
    ];
    for (const [options, message] of wrong) {
      assert.throws(
        () => resolveCsiConfig({ endpoint: 'unix:///c', ...options }, AGENT_CSI_FLAGS),
        (error) =>
          error instanceof AurochsError &&
          error.code === 'INVALID_ARGUMENT' &&
          message.test(error.message),
      );
    }
  });

  it('is none for an agent that is not told an endpoint', () => {
    assert.equal(resolveConfig({}, AROUND).csi, null);
    const { csi } = resolveConfig({ csiEndpoint: 'unix:///c', csiMode: 'node' }, AROUND);
    assert.deepEqual([csi?.socketPath, csi?.mode], ['/c', 'node']);
  });
});
