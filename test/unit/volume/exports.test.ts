import { strict as assert } from 'node:assert';
import {
  exportAddresses,
  isLocalOnly,
  parseHostPort,
  refusalToExport,
} from '../../../src/volume/exports.js';
import { LOCAL } from '../../support/control-plane.js';
import { sampleVolume } from '../../support/store-conformance.js';

describe('addresses', () => {
  it('are host and port, with brackets for IPv6', () => {
    assert.deepEqual(parseHostPort('127.0.0.1:3260'), { host: '127.0.0.1', port: 3260 });
    assert.deepEqual(parseHostPort('[::1]:0'), { host: '::1', port: 0 });
    for (const bad of ['', '3260', ':3260', '::1:3260', 'h:99999', 'h:p', 'h h:1', '[::1]']) {
      assert.equal(parseHostPort(bad), null, bad);
    }
  });

  for (const address of ['127.0.0.1:1', '127.9.9.9:1', '[::1]:1', 'localhost:1', 'unix:/x']) {
    it(`${address} is local only`, () => assert.ok(isLocalOnly(address)));
  }
  for (const address of [
    '0.0.0.0:1',
    '[::]:1',
    '192.168.1.1:1',
    '127.0.0.1.example.com:1',
    'host:1',
  ]) {
    it(`${address} is not`, () => assert.ok(!isLocalOnly(address)));
  }
});

describe('what may be offered where', () => {
  const open = sampleVolume('db');
  const guarded = sampleVolume('db', {
    chap: { user: 'u', secret: 'twelve bytes' },
    initiators: ['iqn.2010-10.org.example'],
  });
  const remote = { ...LOCAL, iscsi: ['0.0.0.0:3260'], nbd: ['0.0.0.0:10809'] };

  it('is anything on loopback', () => {
    assert.equal(refusalToExport(open, 'iscsi', LOCAL), null);
    assert.equal(refusalToExport(open, 'nbd', LOCAL), null);
  });

  it('is iSCSI beyond loopback only with CHAP and a list of initiators', () => {
    assert.equal(refusalToExport(guarded, 'iscsi', remote), null);
    for (const volume of [open, { ...guarded, chap: null }, { ...guarded, initiators: [] }]) {
      const refusal = refusalToExport(volume, 'iscsi', remote);
      assert.equal(refusal?.code, 'FAILED_PRECONDITION');
      assert.match(refusal.hint ?? '', /volume set .*--iscsi-portal/);
    }
  });

  it('is NBD beyond loopback only when clients show certificates', () => {
    assert.equal(refusalToExport(guarded, 'nbd', { ...remote, nbdClientsVerified: true }), null);
    const refusal = refusalToExport(guarded, 'nbd', remote);
    assert.equal(refusal?.code, 'FAILED_PRECONDITION');
    assert.match(refusal.hint ?? '', /--nbd-tls-client-ca/);
  });

  it('is nothing without a listener', () => {
    const refusal = refusalToExport(open, 'nbd', { ...LOCAL, nbd: [] });
    assert.match(refusal?.hint ?? '', /--nbd-listen/);
  });
});

describe('the address of an export', () => {
  it('is a URI that libiscsi, libnbd and qemu take', () => {
    const uris = exportAddresses('db', new Set(['iscsi', 'nbd'] as const), LOCAL).map((a) => a.uri);
    assert.deepEqual(uris, [
      'iscsi://127.0.0.1:3260/iqn.2026-11.io.aurochs:db/1',
      'nbd://127.0.0.1:10809/db',
      'nbd+unix:///db?socket=/run/aurochs/nbd.sock',
    ]);
  });

  it('escapes the path of a socket', () => {
    const listen = { ...LOCAL, nbd: ['unix:/tmp/a b&c/nbd.sock'] };
    const [address] = exportAddresses('db', new Set(['nbd'] as const), listen);
    assert.equal(address?.uri, 'nbd+unix:///db?socket=/tmp/a%20b%26c/nbd.sock');
  });
});
