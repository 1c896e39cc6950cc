import assert from 'node:assert/strict';
import { AurochsError } from '../../../src/core/errors.js';
import { EngineHost, type EngineLogLine } from '../../../src/engine/engine-host.js';
import type {
  NativeBinding,
  NativeEvent,
  NativeHost,
  NativeVolume,
} from '../../../src/native/binding-types.js';
import type { EngineEvent } from '../../../src/volume/ports.js';

/** A binding whose calls all end in the same way. */
function bindingThat(call: () => Promise<unknown>): {
  binding: NativeBinding;
  send: (event: NativeEvent) => void;
} {
  let listener: (event: NativeEvent) => void = () => {};
  const isThenable = (name: string | symbol): boolean => name === 'then'; // It must not be one.
  const volume = new Proxy({} as NativeVolume, {
    get: (_, name) => (isThenable(name) ? undefined : call),
  });
  const host = new Proxy({} as NativeHost, {
    get: (_, name) => {
      if (name === 'openVolume') return () => Promise.resolve(volume);
      return name === 'ioBackend' ? 'epoll' : call;
    },
  });
  const binding: NativeBinding = {
    createHost: (_options, onEvent) => {
      listener = onEvent;
      return host;
    },
    ioUringProblem: () => null,
    ioFlusherProblem: () => null,
    notifySystemd: () => false,
  };
  return { binding, send: (event) => listener(event) };
}

const OPTIONS = { loops: 1, ioBackend: 'auto', lockMemory: false } as const;

function nativeError(code: string): Error {
  return Object.assign(new Error(`it is ${code}`), { code });
}

describe('EngineHost', () => {
  it('turns an error of the addon into an AurochsError with its code and message', async () => {
    const native = nativeError('NO_SPACE');
    const engine = new EngineHost(bindingThat(() => Promise.reject(native)).binding, OPTIONS);
    const isTranslated = (error: unknown): boolean => {
      assert(error instanceof AurochsError);
      assert.equal(error.code, 'NO_SPACE');
      assert.equal(error.message, 'it is NO_SPACE');
      assert.equal(error.cause, native);
      return true;
    };
    await assert.rejects(engine.close(), isTranslated);
    await assert.rejects(engine.probeDisk('/'), isTranslated);
    await assert.rejects(engine.ping(), isTranslated);
    await assert.rejects(engine.kernelNbd.disconnect(0), isTranslated);
    const volume = await engine.openVolume('/', 'x', 1n);
    await assert.rejects(volume.describe(), isTranslated);
    await assert.rejects(volume.close(), isTranslated);
  });

  it('takes an error without a known code as a bug', async () => {
    for (const odd of [nativeError('ENOENT'), new Error('odd')]) {
      const engine = new EngineHost(bindingThat(() => Promise.reject(odd)).binding, OPTIONS);
      await assert.rejects(engine.close(), { name: 'AurochsError', code: 'INTERNAL' });
    }
  });

  it('throws an AurochsError when the host cannot start', () => {
    const binding: NativeBinding = {
      createHost: () => {
        throw nativeError('UNSUPPORTED');
      },
      ioUringProblem: () => 'not here',
      ioFlusherProblem: () => null,
      notifySystemd: () => false,
    };
    assert.throws(() => new EngineHost(binding, OPTIONS), {
      name: 'AurochsError',
      code: 'UNSUPPORTED',
    });
  });

  it('gives events to those who listen, until they stop', () => {
    const { binding, send } = bindingThat(() => Promise.resolve());
    const engine = new EngineHost(binding, OPTIONS);
    const [first, second]: EngineEvent[][] = [[], []];
    const stopFirst = engine.subscribe((event) => first?.push(event));
    engine.subscribe((event) => {
      second?.push(event);
      stopFirst(); // While the event is delivered.
    });
    const failed: NativeEvent = { type: 'replicaFailed', volumeId: 'v', message: 'gone' };
    send(failed);
    send(failed);
    assert.deepEqual(first, [failed]);
    assert.deepEqual(second, [failed, failed]);
  });

  it('logs what the core logs, and how much was dropped', () => {
    const lines: EngineLogLine[] = [];
    const { binding, send } = bindingThat(() => Promise.resolve());
    const engine = new EngineHost(binding, OPTIONS, (line) => lines.push(line));
    engine.subscribe(() => assert.fail('a log line is no event'));
    send({ type: 'log', level: 'info', component: 'iscsi', message: 'listening' });
    send({ type: 'eventsDropped', count: 3 });
    assert.deepEqual(
      lines.map(({ level, component }) => `${level} ${component}`),
      ['info iscsi', 'warn engine'],
    );
    assert.match(lines[1]?.message ?? '', /3 events were dropped/);
  });
});
