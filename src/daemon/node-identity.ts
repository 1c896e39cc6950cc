/** Who this machine is to the others that share its store. */
import { hostname } from 'node:os';
import { isDeepStrictEqual } from 'node:util';

import { newId } from '../core/ids.js';
import { systemClock } from '../core/clock.js';
import type { NodeIdentity, Store } from '../volume/ports.js';
import type { AgentConfig } from './config.js';

/** An embedded store belongs to one node. */
const KEY = 'self';

/**
 * The id of this node, made at the first start. Zone and tags are what the flags say, at each start; the name is that of the
 * host at the first start, as people and other programs refer to it, until a flag gives another.
 */
export async function nodeIdentity(
  store: Store,
  { nodeName, zone, nodeTags: tags }: Pick<AgentConfig, 'nodeName' | 'zone' | 'nodeTags'>,
): Promise<string> {
  const known = await store.get('node', KEY);
  if (known === null) {
    const createdUnixMs = systemClock.nowUnixMs();
    const made = { id: newId(), name: nodeName ?? hostname(), zone, tags, createdUnixMs };
    return (await store.create('node', KEY, made)).value.id;
  }
  const identity: NodeIdentity = { ...known.value, name: nodeName ?? known.value.name, zone, tags };
  if (!isDeepStrictEqual(identity, known.value)) {
    await store.update('node', KEY, identity, known.revision);
  }
  return identity.id;
}
