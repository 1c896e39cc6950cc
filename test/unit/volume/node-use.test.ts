import { strict as assert } from 'node:assert';

import { RECONCILES_PARALLEL } from '../../../src/core/limits.js';
import { ControlPlane } from '../../support/control-plane.js';
import { FakeKernel } from '../../support/fake-node.js';
import { rejectsWith } from '../../support/rejects.js';

const GIB = 1n << 30n;
const REQUEST = {
  path: '/staging/db',
  kind: 'fileSystem',
  fileSystem: 'ext4',
  readOnly: false,
  encryption: null,
} as const;

describe('while a program of this machine works on a volume', () => {
  let plane: ControlPlane;
  let kernel: FakeKernel;
  /** Lets the programs end. */
  let end: () => void;
  let begun: string[];

  beforeEach(async () => {
    kernel = new FakeKernel();
    plane = await ControlPlane.started({ kernel });
    begun = [];
    const ended = new Promise<void>((resolve) => (end = resolve));
    plane.node.hook = (where, call) => {
      if (where === 'after' || !/^(?:stage|unstage|mount|trim) /.test(call)) return;
      begun.push(call);
      return ended;
    };
  });
  afterEach(async () => {
    end();
    await plane.stop();
  });

  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setImmediate(resolve));
  };

  const attached = async (name: string): Promise<void> => {
    await plane.volumes.create({ name, sizeBytes: GIB });
    await plane.volumes.attach(name, { device: { frontend: 'nbd' } });
  };

  const stage = (name = 'db'): Promise<string> =>
    plane.staging.stage(name, { ...REQUEST, formatOptions: [], mountOptions: [] });

  const staging = async (name = 'db'): Promise<Promise<string>[]> => {
    await attached(name);
    const running = stage(name);
    await until(() => begun.includes(`stage ${name} ${REQUEST.path}`));
    return [running]; // In a list, as it would be awaited otherwise.
  };

  it('its device is brought back to life when it loses its connection', async () => {
    const [running] = await staging();
    const device = kernel.devices.get('db');
    assert.ok(device);
    device.connectedTo = null;
    const session = { frontend: 'nbd', export: 'db', initiator: '', address: 'unix:' } as const;
    plane.engine.emit({ type: 'sessionClosed', session });
    await until(() => device.connectedTo === plane.node);
    end();
    assert.equal(await running, '/dev/aurochs/db');
  });

  it('as many more as the reconciler has places do not stop other volumes', async () => {
    const names = Array.from({ length: RECONCILES_PARALLEL }, (_, index) => `v${index}`);
    const running: Promise<string>[] = [];
    for (const name of names) running.push(...(await staging(name)));
    await plane.open.refreshAll();
    await attached('another');
    end();
    await Promise.all(running);
  });

  it('a detach is BUSY at once, a forced one is not, and neither is a delete possible', async () => {
    const [running] = await staging();
    await rejectsWith('BUSY', plane.volumes.detach('db'), /is being staged on this machine/);
    assert.equal((await plane.volumes.get('db')).desired.attached, true);
    assert.equal((await plane.volumes.detach('db', true)).state, 'detached');
    await rejectsWith('BUSY', plane.volumes.delete('db'), /is being staged on this machine/);
    end();
    await rejectsWith('NOT_FOUND', running ?? Promise.resolve(), /no device/);
    await plane.volumes.delete('db');
  });

  it('the next one waits for its turn, and for one that waits a detach is BUSY, too', async () => {
    const [running] = await staging();
    const trimmed = plane.mounts.trim('db');
    await rejectsWith('BUSY', plane.volumes.detach('db'), /is being staged/);
    assert.deepEqual(begun, ['stage db /staging/db']);
    end();
    await running;
    assert.equal(await trimmed, 4096n);
  });

  it('snapshots are taken', async () => {
    const [running] = await staging();
    assert.equal((await plane.snapshots.create('db', 's1')).name, 's1');
    end();
    await running;
  });

  it('how full it is can be asked', async () => {
    const [running] = await staging();
    assert.equal((await plane.staging.usage('db', REQUEST.path)).totalBytes, GIB);
    end();
    await running;
  });

  it('nothing is begun on a volume that is being detached', async () => {
    await attached('db');
    const detached = plane.volumes.detach('db');
    await until(() => plane.node.calls.includes('detach db'));
    await rejectsWith('FAILED_PRECONDITION', stage(), /no device on this machine/);
    await detached;
    assert.deepEqual(begun, []);
  });
});
