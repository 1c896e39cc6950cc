import { strict as assert } from 'node:assert';
import { hostname } from 'node:os';
import { nodeIdentity } from '../../../src/daemon/node-identity.js';
import { EmbeddedStore } from '../../../src/store/embedded-store.js';
import type { NodeIdentity, Store } from '../../../src/volume/ports.js';

const PLAIN = { nodeName: null, zone: null, nodeTags: [] };

describe('the identity of a node', () => {
  let store: Store;
  beforeEach(() => {
    store = EmbeddedStore.open(':memory:');
  });
  afterEach(() => store.close());

  const stored = async (): Promise<NodeIdentity | undefined> =>
    (await store.list('node')).items[0]?.value;

  it('is made once, under the name of the host', async () => {
    const id = await nodeIdentity(store, PLAIN);
    assert.equal((await stored())?.name, hostname());
    const before = await store.list('node');
    assert.equal(await nodeIdentity(store, PLAIN), id);
    assert.deepEqual(await store.list('node'), before, 'nothing is written for nothing');
  });

  it('has the zone and tags of the newest start, and keeps a name that it was given', async () => {
    const id = await nodeIdentity(store, { nodeName: 'worker-1', zone: 'z1', nodeTags: ['big'] });
    assert.equal(await nodeIdentity(store, { ...PLAIN, nodeTags: ['small'] }), id);
    const identity = await stored();
    assert.deepEqual(
      [identity?.name, identity?.zone, identity?.tags],
      ['worker-1', null, ['small']],
    );
  });
});
