import { strict as assert } from 'node:assert';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasCode, type ErrorCode } from '../../../src/core/errors.js';
import { resolveConfig, type AgentOptions, type Surroundings } from '../../../src/daemon/config.js';

const ROOT: Surroundings = { isRoot: true, env: {}, home: '/root', processors: 4 };
const USER: Surroundings = { isRoot: false, env: {}, home: '/home/u', processors: 4 };

function refuses(options: AgentOptions, code: ErrorCode, message: RegExp): void {
  assert.throws(
    () => resolveConfig(options, ROOT),
    (error) => {
      assert.ok(hasCode(error, code), String(error));
      assert.match(`${String(error)} ${String((error as { hint?: string }).hint)}`, message);
      return true;
    },
  );
}

describe('the configuration of the agent', () => {
  it('has the system directories for root, and loopback addresses', () => {
    const config = resolveConfig({}, ROOT);
    assert.equal(config.dataDir, '/var/lib/aurochs');
    assert.equal(config.apiSocket, '/run/aurochs/api.sock');
    assert.deepEqual(config.iscsiPortals, ['127.0.0.1:3260']);
    assert.deepEqual(config.nbdListeners, ['127.0.0.1:10809', 'unix:/run/aurochs/nbd.sock']);
    assert.equal(config.loops, 4);
  });

  it('says what the node is called, where it is and what kind it is', () => {
    const none = resolveConfig({}, ROOT);
    assert.deepEqual([none.nodeName, none.zone, none.nodeTags], [null, null, []]);
    const options = { nodeName: 'worker-1', zone: 'eu-1a', nodeTag: ['ssd', 'big', 'ssd'] };
    const said = resolveConfig(options, ROOT);
    assert.deepEqual(
      [said.nodeName, said.zone, said.nodeTags],
      ['worker-1', 'eu-1a', ['big', 'ssd']],
    );
    refuses({ zone: 'a zone' }, 'INVALID_ARGUMENT', /zone "a zone"/);
    refuses({ nodeTag: '' }, 'INVALID_ARGUMENT', /node tag ""/);
    refuses({ nodeName: '-' }, 'INVALID_ARGUMENT', /node name/);
  });

  it('has the XDG directories for others', () => {
    const env = { XDG_STATE_HOME: '/state', XDG_RUNTIME_DIR: '/run/user/7' };
    const config = resolveConfig({}, { ...USER, env });
    assert.equal(config.dataDir, '/state/aurochs');
    assert.equal(config.runDir, '/run/user/7/aurochs');
    const bare = resolveConfig({}, { ...USER, env: { XDG_STATE_HOME: 'relative' } });
    assert.equal(bare.dataDir, '/home/u/.local/state/aurochs');
    assert.equal(bare.runDir, '/home/u/.local/state/aurochs/run');
  });

  it('takes one address or several', () => {
    const config = resolveConfig(
      { iscsiPortal: '127.0.0.1:0', nbdListen: ['unix:/x/nbd.sock', '[::1]:0'] },
      ROOT,
    );
    assert.deepEqual(config.iscsiPortals, ['127.0.0.1:0']);
    assert.deepEqual(config.nbdListeners, ['unix:/x/nbd.sock', '[::1]:0']);
  });

  it('refuses what no flag means, and names the flag', () => {
    refuses({ iscsiPortal: '3260' }, 'INVALID_ARGUMENT', /--iscsi-portal 3260.*HOST:PORT/);
    refuses({ iscsiPortal: 'unix:/x' }, 'INVALID_ARGUMENT', /--iscsi-portal/);
    refuses({ nbdListen: 'unix:x' }, 'INVALID_ARGUMENT', /not absolute/);
    refuses({ logFormat: 'xml' }, 'INVALID_ARGUMENT', /--log-format xml.*text, json/);
    refuses({ logLevel: 'loud' }, 'INVALID_ARGUMENT', /--log-level/);
    refuses({ ioBackend: 'aio' }, 'INVALID_ARGUMENT', /--io-backend/);
    refuses({ loops: 0 }, 'INVALID_ARGUMENT', /--loops 0/);
    refuses({ loops: NaN }, 'INVALID_ARGUMENT', /--loops/);
    refuses({ nbdTlsCert: 'c.pem' }, 'INVALID_ARGUMENT', /--nbd-tls-key/);
  });

  it('refuses NBD beyond loopback unless clients show certificates', () => {
    refuses({ nbdListen: '0.0.0.0:10809' }, 'FAILED_PRECONDITION', /--nbd-tls-client-ca/);
    const tls = { nbdTlsCert: '/c.pem', nbdTlsKey: '/k.pem' };
    refuses({ nbdListen: '0.0.0.0:10809', ...tls }, 'FAILED_PRECONDITION', /client-ca/);
    const verified = { nbdListen: '0.0.0.0:10809', ...tls, nbdTlsClientCa: '/ca.pem' };
    resolveConfig(verified, ROOT);
    refuses({ ...verified, nbdTls: 'optional' }, 'FAILED_PRECONDITION', /--nbd-tls optional/);
  });

  it('demands TLS where there is a certificate, unless it is optional', () => {
    const tls = { nbdTlsCert: '/c.pem', nbdTlsKey: '/k.pem' };
    assert.equal(resolveConfig(tls, ROOT).nbdTls?.required, true);
    assert.equal(resolveConfig({ ...tls, nbdTls: 'optional' }, ROOT).nbdTls?.required, false);
    refuses({ ...tls, nbdTls: 'maybe' }, 'INVALID_ARGUMENT', /--nbd-tls maybe/);
    refuses({ nbdTls: 'optional' }, 'INVALID_ARGUMENT', /--nbd-tls-cert/);
  });

  describe('with a file of discovery credentials', () => {
    let directory: string;
    let path: string;
    beforeEach(() => {
      directory = mkdtempSync(join(tmpdir(), 'aurochs-config-'));
      path = join(directory, 'chap.json');
    });
    afterEach(() => rmSync(directory, { recursive: true }));

    it('reads user and secret', () => {
      writeFileSync(path, '{"user": "u", "secret": "twelve bytes"}', { mode: 0o600 });
      const config = resolveConfig({ discoveryChapFile: path }, ROOT);
      assert.deepEqual(config.discoveryChap, { user: 'u', secret: 'twelve bytes' });
    });

    it('needs it for a portal beyond loopback', () => {
      const remote = { iscsiPortal: '0.0.0.0:3260' };
      refuses(remote, 'FAILED_PRECONDITION', /--iscsi-portal 0\.0\.0\.0:3260.*discovery/);
      writeFileSync(path, '{"user": "u", "secret": "twelve bytes"}', { mode: 0o600 });
      assert.doesNotThrow(() => resolveConfig({ ...remote, discoveryChapFile: path }, ROOT));
    });

    it('refuses one that others may read', () => {
      writeFileSync(path, '{"user": "u", "secret": "twelve bytes"}');
      chmodSync(path, 0o644);
      refuses({ discoveryChapFile: path }, 'PERMISSION_DENIED', /chmod 600/);
    });

    it('never repeats what is in a bad one', () => {
      writeFileSync(path, '{"user": "u", "secret": hush-hush', { mode: 0o600 });
      refuses({ discoveryChapFile: path }, 'INVALID_ARGUMENT', /^(?!.*hush).*right form/s);
    });

    it('says when it is missing', () =>
      refuses({ discoveryChapFile: path }, 'INVALID_ARGUMENT', /cannot be read/));
  });
});
