import { strict as assert } from 'node:assert';
import { EXCLUSIVE_OF_ALL_WAIT_MS } from '../../../src/core/limits.js';
import { silentLogger } from '../../../src/core/logger.js';
import { EmbeddedStore } from '../../../src/store/embedded-store.js';
import { DomainEvents } from '../../../src/volume/events.js';
import { OpenVolumes } from '../../../src/volume/open-volumes.js';
import { FakeDisks, FakeEngine } from '../../support/fake-engine.js';
import { ManualClock } from '../../support/manual-clock.js';
import { rejectsWith } from '../../support/rejects.js';

describe('several volumes for oneself', () => {
  let clock: ManualClock;
  let store: EmbeddedStore;
  let open: OpenVolumes;
  beforeEach(() => {
    clock = new ManualClock();
    store = EmbeddedStore.open(':memory:');
    const directories = new FakeDisks();
    const engine = new FakeEngine(directories);
    const log = silentLogger;
    const events = new DomainEvents(log);
    open = new OpenVolumes({ store, engine, directories, events, clock, log });
  });
  afterEach(() => store.close());

  /** Somebody else has it until what is returned is called. */
  function keep(volume: string): () => void {
    let letGo = (): void => undefined;
    const kept = new Promise<void>((resolve) => (letGo = resolve));
    void open.exclusive(volume, () => kept);
    return letGo;
  }

  it('are waited for, and had all at once', async () => {
    const letGo = keep('b');
    const had = open.exclusiveOfAll(['c', 'b', 'a'], async () => 'all');
    clock.pass(EXCLUSIVE_OF_ALL_WAIT_MS - 1);
    letGo();
    assert.equal(await had, 'all');
    assert.equal(clock.timers.size, 0);
  });

  it('are let go, and the one that is kept is named, when it is kept too long', async () => {
    const letGo = keep('b');
    let began = false;
    const had = open.exclusiveOfAll(['a', 'b', 'c'], async () => {
      began = true;
    });
    const afterwards = open.exclusive('a', async () => 'free');
    await new Promise((resolve) => setImmediate(resolve));
    clock.pass(EXCLUSIVE_OF_ALL_WAIT_MS);
    await rejectsWith('BUSY', had, /volume b /);
    assert.equal(await afterwards, 'free');
    letGo();
    await open.exclusive('b', async () => undefined);
    assert.equal(began, false);
  });
});
