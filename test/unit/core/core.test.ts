import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import type { Clock } from '../../../src/core/clock.js';
import { hasCode } from '../../../src/core/errors.js';
import { isId, newId, serialOf } from '../../../src/core/ids.js';
import { KeyedMutex } from '../../../src/core/keyed-mutex.js';
import { formatSize, formatSizeExact, parseSize } from '../../../src/core/units.js';
import { WorkQueue } from '../../../src/core/work-queue.js';
import { ManualClock } from '../../support/manual-clock.js';

describe('parseSize', () => {
  const cases: [string, bigint][] = [
    ['0', 0n],
    ['4096', 4096n],
    ['512MiB', 512n << 20n],
    ['10GiB', 10n << 30n],
    ['10G', 10n << 30n],
    ['10 gib', 10n << 30n],
    ['10GB', 10_000_000_000n],
    ['1T', 1n << 40n],
    ['1.5TiB', 3n << 39n],
    ['64T', 64n << 40n],
    ['7P', 7n << 50n],
    ['100 bytes', 100n],
  ];
  for (const [text, bytes] of cases) {
    it(`reads ${text} as ${bytes}`, () => assert.equal(parseSize(text), bytes));
  }
  for (const text of [
    '',
    '-1',
    '1e9',
    '10X',
    'GiB',
    '1.',
    '.5G',
    '0x10',
    '10GiBs',
    '1,5G',
    '1 0',
  ]) {
    it(`refuses ${JSON.stringify(text)} with an example of what to write`, () => {
      assert.throws(
        () => parseSize(text),
        (error) => hasCode(error, 'INVALID_ARGUMENT') && /10GiB/.test(String(Object(error).hint)),
      );
    });
  }
  it('refuses what is not a whole number of bytes', () => {
    assert.throws(() => parseSize('1.0000001K'), /whole number of bytes/);
  });
  it('refuses more than a file offset can say', () => {
    assert.throws(() => parseSize('8192P'), /8 EiB/);
    assert.throws(() => parseSize('9'.repeat(30)), /too many digits/);
  });
  it('reads back what formatSizeExact writes', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }), (bytes) => {
        assert.equal(parseSize(formatSizeExact(bytes)), bytes);
      }),
    );
  });
});

describe('formatSize', () => {
  const cases: [bigint, string][] = [
    [0n, '0B'],
    [1023n, '1023B'],
    [1024n, '1KiB'],
    [10n << 30n, '10GiB'],
    [(1n << 40n) + (1n << 39n), '1.5TiB'],
    [(100n << 30n) - 1n, '99.9GiB'],
    [1023n << 30n, '1023GiB'],
  ];
  for (const [bytes, text] of cases) {
    it(`writes ${bytes} as ${text}`, () => assert.equal(formatSize(bytes), text));
  }
});

describe('identifiers', () => {
  it('are UUIDs', () => assert.ok(isId(newId())));
  it('give a volume the same serial number every time', () => {
    assert.equal(serialOf('a'), serialOf('a'));
    assert.notEqual(serialOf('a'), serialOf('b'));
    assert.match(serialOf('a'), /^[0-9a-f]{16}$/);
  });
});

describe('KeyedMutex', () => {
  it('runs the tasks of one key one after another, also after a failure', async () => {
    const mutex = new KeyedMutex();
    const order: string[] = [];
    const task = (name: string, fail = false) =>
      mutex.run('key', async () => {
        order.push(`${name} in`);
        await Promise.resolve();
        order.push(`${name} out`);
        if (fail) throw new Error(name);
      });
    const results = await Promise.allSettled([task('a', true), task('b'), task('c')]);
    assert.deepEqual(order, ['a in', 'a out', 'b in', 'b out', 'c in', 'c out']);
    assert.deepEqual(
      results.map((result) => result.status),
      ['rejected', 'fulfilled', 'fulfilled'],
    );
    assert.equal(mutex.size, 0);
  });

  it('lets different keys run at the same time', async () => {
    const mutex = new KeyedMutex();
    let release = (): void => {};
    const blocked = mutex.run('a', () => new Promise<void>((resolve) => (release = resolve)));
    assert.equal(await mutex.run('b', async () => 'done'), 'done');
    release();
    await blocked;
  });
});

/** Time that passes only when told to. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('WorkQueue', () => {
  const options = (clock: Clock, parallel = 1) => ({
    clock,
    parallel,
    retryMinMs: 100,
    retryMaxMs: 1000,
    onError: () => {},
  });

  it('works on a key once for many additions', async () => {
    const seen: string[] = [];
    const queue = new WorkQueue(async (key) => (seen.push(key), null), options(new ManualClock()));
    queue.add('blocker');
    for (let count = 0; count < 5; ++count) queue.add('a');
    await settle();
    assert.deepEqual(seen, ['blocker', 'a']);
  });

  it('works on a key again that was added meanwhile, and never twice at once', async () => {
    let running = 0;
    let runs = 0;
    let release = (): void => {};
    const queue = new WorkQueue(
      async () => {
        assert.equal(++running, 1);
        if (++runs === 1) await new Promise<void>((resolve) => (release = resolve));
        --running;
        return null;
      },
      options(new ManualClock(), 4),
    );
    queue.add('a');
    await settle();
    queue.add('a');
    queue.add('a');
    release();
    await settle();
    assert.equal(runs, 2);
  });

  it('works on no more keys at once than it may', async () => {
    let running = 0;
    let most = 0;
    const queue = new WorkQueue(
      async () => {
        most = Math.max(most, ++running);
        await settle();
        --running;
        return null;
      },
      options(new ManualClock(), 3),
    );
    for (let key = 0; key < 20; ++key) queue.add(String(key));
    while (!queue.idle) await settle();
    assert.equal(most, 3);
  });

  it('retries a failure after a delay that doubles up to a maximum', async () => {
    const clock = new ManualClock();
    const delays: number[] = [];
    const queue = new WorkQueue(
      async () => {
        throw new Error('no');
      },
      { ...options(clock), onError: (_key, _error, retryMs) => delays.push(retryMs) },
    );
    queue.add('a');
    for (let count = 0; count < 6; ++count) {
      await settle();
      clock.pass(delays.at(-1) ?? 0);
    }
    assert.deepEqual(delays.slice(0, 6), [100, 200, 400, 800, 1000, 1000]);
  });

  it('brings a pending retry forward when the key is added', async () => {
    const clock = new ManualClock();
    let runs = 0;
    const queue = new WorkQueue(async () => {
      if (++runs === 1) throw new Error('no');
      return null;
    }, options(clock));
    queue.add('a');
    await settle();
    queue.add('a');
    await settle();
    assert.equal(runs, 2);
    assert.equal(clock.timers.size, 0);
  });

  it('looks again when the work asks for it', async () => {
    const clock = new ManualClock();
    let runs = 0;
    const queue = new WorkQueue(
      async () => (++runs === 1 ? { againAfterMs: 50 } : null),
      options(clock),
    );
    queue.add('a');
    await settle();
    clock.pass(49);
    await settle();
    assert.equal(runs, 1);
    clock.pass(1);
    await settle();
    assert.equal(runs, 2);
  });

  it('closes when the running work has ended, and takes none after', async () => {
    let release = (): void => {};
    let runs = 0;
    const queue = new WorkQueue(async () => {
      ++runs;
      await new Promise<void>((resolve) => (release = resolve));
      return null;
    }, options(new ManualClock()));
    queue.add('a');
    queue.add('b');
    await settle();
    let closed = false;
    const closing = queue.close().then(() => (closed = true));
    await settle();
    assert.equal(closed, false);
    release();
    await closing;
    queue.add('c');
    await settle();
    assert.equal(runs, 1);
  });
});
