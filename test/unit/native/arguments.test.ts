import assert from 'node:assert/strict';
import { loadBinding } from '../../../src/native/binding.js';
import type { NativeHost, NativeVolume } from '../../../src/native/binding-types.js';
import { SIZE_BYTES, createHost, hasCode } from './support.js';

/** Any call with any arguments, as JavaScript without types could make it. */
type Loose = Record<string, (...args: unknown[]) => unknown>;

function loosely(target: object): Loose {
  return target as unknown as Loose;
}

async function refuses(target: object, call: string, args: unknown[], says: RegExp): Promise<void> {
  await assert.rejects(
    Promise.resolve().then(() => loosely(target)[call]?.(...args)),
    (error) => {
      assert(error instanceof TypeError, String(error));
      assert(hasCode('INVALID_ARGUMENT')(error));
      assert.match(error.message, says);
      return true;
    },
  );
}

describe('the addon’s arguments', () => {
  let host: NativeHost;
  let volume: NativeVolume;

  before(async () => {
    host = createHost();
    volume = await host.openTestVolume('memory', SIZE_BYTES);
  });
  after(() => host.close());

  const good = { loops: 1, ioBackend: 'auto', lockMemory: false };
  for (const [options, says] of [
    [undefined, /options must be an object/],
    [[], /options must be an object/],
    [{ ...good, loops: 0 }, /options\.loops must be a whole number from 1 to 64/],
    [{ ...good, loops: 65 }, /options\.loops/],
    [{ ...good, loops: 1.5 }, /options\.loops/],
    [{ ...good, loops: NaN }, /options\.loops/],
    [{ ...good, loops: '1' }, /options\.loops/],
    [{ ...good, ioBackend: 'aio' }, /options\.ioBackend must be 'auto', 'io_uring' or 'epoll'/],
    [{ loops: 1 }, /options\.ioBackend must be a string/],
    [{ ...good, lockMemory: 1 }, /options\.lockMemory must be a boolean/],
    [{ ...good, loop: 2 }, /options\.loop must be left out/],
  ] as const) {
    it(`refuse createHost(${JSON.stringify(options)})`, () => {
      const createIt = () => loosely(loadBinding())['createHost']?.(options, () => {});
      assert.throws(createIt, (error) => error instanceof TypeError && says.test(error.message));
    });
  }

  it('need a listener for events', async () => {
    await refuses(loadBinding(), 'createHost', [good, null], /onEvent must be a function/);
    await refuses(loadBinding(), 'createHost', [good], /made with 2 arguments/);
  });

  it('must be as many as the call takes', async () => {
    await refuses(host, 'openTestVolume', ['null'], /made with 2 arguments/);
    await refuses(host, 'close', [1], /made with 0 arguments/);
    await refuses(volume, 'close', [1], /made with 0 arguments/);
    await refuses(host, 'ping', [1], /made with 0 arguments/);
    await refuses(loadBinding(), 'notifySystemd', [], /made with 1 arguments/);
    assert.equal((await volume.describe()).sizeBytes, SIZE_BYTES);
  });

  it('are byte counts as bigint between 0 and 2^64 - 1', async () => {
    for (const wrong of [16, '16', -1n, 2n ** 64n, null]) {
      await refuses(host, 'openTestVolume', ['null', wrong], /sizeBytes must be a bigint/);
      await refuses(host, 'openVolume', ['/', 'x', wrong], /epoch must be a bigint/);
    }
    await assert.rejects(host.openTestVolume('null', 2n ** 64n - 1n), hasCode('OUT_OF_RANGE'));
  });

  it('are whole numbers in range where a bigint is too much', async () => {
    for (const wrong of [-1, 2 ** 53, 0.5, Infinity, 1n, '1', undefined]) {
      await refuses(volume, 'takeSnapshot', ['id', 'name', wrong], /createdUnixMs must be a whole/);
    }
    for (const wrong of [0, 30_001, 0.5, '1', 1n]) {
      await refuses(volume, 'holdWrites', [wrong], /deadlineMs must be a whole number from 1/);
    }
    await refuses(volume, 'releaseWrites', [0], /hold must be a whole number from 1/);
    for (const wrong of [0, 65_537, -1, 1n]) {
      await refuses(volume, 'diff', ['', '', 0n, wrong], /runsMax must be a whole number from 1/);
    }
  });

  it('are strings without NUL and of bounded length', async () => {
    await refuses(host, 'probeDisk', [7], /path must be a string/);
    await refuses(loadBinding(), 'notifySystemd', [1], /state must be a string/);
    await refuses(host, 'probeDisk', ['/tmp\0/x'], /path must be a string without NUL/);
    await refuses(host, 'probeDisk', ['é'.repeat(2049)], /path must be a string of at most 4096/);
    await assert.rejects(host.probeDisk(`/${'x'.repeat(4000)}`), hasCode('INVALID_ARGUMENT'));
  });

  it('of the kernel’s NBD client are checked field by field', async () => {
    const options = {
      address: 'unix:/nowhere',
      exportName: 'x',
      connections: 1,
      requestTimeoutS: 5,
      deadConnectionTimeoutS: 60,
      identifier: 'x',
    };
    const connect = (change: object) => [{ ...options, ...change }];
    await refuses(host, 'connectKernelNbd', [null], /options must be an object/);
    await refuses(host, 'connectKernelNbd', connect({ connections: 0 }), /from 1 to 16/);
    await refuses(host, 'connectKernelNbd', connect({ connections: 17 }), /options\.connections/);
    await refuses(host, 'connectKernelNbd', connect({ requestTimeoutS: 0 }), /from 1 to 86400/);
    const forever = connect({ deadConnectionTimeoutS: Infinity });
    await refuses(host, 'connectKernelNbd', forever, /deadConnectionTimeoutS must be a whole/);
    await refuses(host, 'connectKernelNbd', connect({ address: 1 }), /address must be a string/);
    await refuses(host, 'connectKernelNbd', connect({ index: 1 }), /index must be left out/);
    await refuses(host, 'reconnectKernelNbd', [0], /made with 2 arguments/);
    await refuses(host, 'resizeKernelNbd', [0, 1, 'a'], /sizeBytes must be/);
    for (const wrong of [-1, 2 ** 20, 0.5, '0', 0n]) {
      await refuses(host, 'reconnectKernelNbd', [wrong, options], /index must be a whole number/);
      await refuses(host, 'disconnectKernelNbd', [wrong], /index must be a whole number/);
    }
  });

  it('are checked field by field in options', async () => {
    const replica = { volumeId: 'v', replicaId: 'r', sizeBytes: SIZE_BYTES };
    const create = (options: unknown) => ['/tmp', 'x', options];
    await refuses(host, 'createReplica', create(null), /options must be an object/);
    await refuses(
      host,
      'createReplica',
      create({ ...replica, sizeBytes: 1 }),
      /options\.sizeBytes/,
    );
    await refuses(
      host,
      'createReplica',
      create({ ...replica, size: 1n }),
      /options\.size must be left/,
    );

    const copy = { ...replica, diskPath: '/tmp', name: 'x' };
    const copySnapshot = (change: object) => ['s', { ...copy, ...change }];
    await refuses(volume, 'copySnapshot', ['s', null], /copy must be an object/);
    await refuses(
      volume,
      'copySnapshot',
      copySnapshot({ diskPath: 1 }),
      /copy\.diskPath must be a/,
    );
    await refuses(volume, 'copySnapshot', copySnapshot({ sizeBytes: 1 }), /copy\.sizeBytes/);
    await refuses(volume, 'copySnapshot', copySnapshot({ epoch: 1n }), /copy\.epoch must be left/);

    const nbd = { name: 'x', description: '', readOnly: false };
    await refuses(
      volume,
      'exportNbd',
      [{ ...nbd, readOnly: 0 }],
      /config\.readOnly must be a bool/,
    );
    const names = { targetName: 'iqn.2026-11.io.aurochs:x', serial: 's', readOnly: false };
    const iscsi = { ...names, removable: false, provisioning: 'thin' };
    const open = { chap: null, mutualChap: null, initiators: [] };
    const export_ = (change: object) => [{ ...iscsi, access: open, ...change }];
    await refuses(volume, 'exportIscsi', [iscsi], /config\.access must be an object/);
    await refuses(volume, 'exportIscsi', export_({ provisioning: 'thick' }), /'thin' or 'full'/);
    await refuses(volume, 'exportIscsi', export_({ removable: 1 }), /removable must be a bool/);
    const access = (change: object) => [{ ...open, ...change }];
    await refuses(volume, 'exportIscsi', export_({ access: {} }), /access\.chap must be an object/);
    const halfChap = access({ chap: { user: 'u' } });
    await refuses(volume, 'setIscsiAccess', halfChap, /chap\.secret must be a/);
    const noList = access({ initiators: 'all' });
    await refuses(volume, 'setIscsiAccess', noList, /initiators must be an arr/);
    const noNames = access({ initiators: [1] });
    await refuses(volume, 'setIscsiAccess', noNames, /initiators\[0\] must be a/);
    const names1025 = Array.from({ length: 1025 }, (_, index) => `iqn.2026-11.x:${index}`);
    const crowd = access({ initiators: names1025 });
    await refuses(volume, 'setIscsiAccess', crowd, /at most 1024 strings/);
  });

  it('may throw when they are read', async () => {
    const trap = {
      get name(): string {
        throw new Error('a trap');
      },
      description: '',
      readOnly: false,
    };
    await refuses(volume, 'exportNbd', [trap], /config\.name must be readable/);
    const wall = new Proxy({}, { ownKeys: () => assert.fail('a wall') });
    await refuses(volume, 'exportNbd', [wall], /config must be readable/);
  });

  it('may close the host when they are read', async () => {
    const other = createHost();
    const closing: Promise<void>[] = [];
    const options = {
      get volumeId() {
        closing.push(other.close());
        return 'v';
      },
      replicaId: 'r',
      sizeBytes: SIZE_BYTES,
    };
    await assert.rejects(other.createReplica('/tmp', 'x', options), hasCode('UNAVAILABLE'));
    await Promise.all(closing);
  });

  it('include the object that a method is called on', async () => {
    const { close, sessions } = loosely(host);
    const volumeClose = loosely(volume)['close'];
    for (const receiver of [undefined, {}, volume, Object.create(host)]) {
      assert.throws(() => close?.call(receiver), TypeError);
      assert.throws(() => sessions?.call(receiver), TypeError);
    }
    assert.throws(() => volumeClose?.call(host), TypeError);
    assert.equal((await volume.describe()).sizeBytes, SIZE_BYTES);
  });

  it('cannot make a host or a volume out of nothing', () => {
    for (const made of [host, volume]) {
      const Class = made.constructor as new (...args: unknown[]) => unknown;
      for (const args of [[], [{}], [made], [null]]) {
        assert.throws(() => new Class(...args), /Illegal constructor/);
      }
    }
  });
});
