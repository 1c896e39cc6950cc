/** The snapshot groups of the store. */
import { AurochsError } from '../core/errors.js';
import type { SnapshotGroup } from './model.js';
import type { Store } from './ports.js';

/** Those that are whole; nobody sees one before. */
export async function takenGroups(store: Store): Promise<SnapshotGroup[]> {
  const { items } = await store.list('snapshotGroup');
  return items.map((item) => item.value).filter(({ state }) => state === 'taken');
}

export function groupNotFound(nameOrId: string): AurochsError {
  return new AurochsError(
    'NOT_FOUND',
    `there is no snapshot group ${JSON.stringify(nameOrId.slice(0, 80))}`,
    '"aurochs snapshot group ls" shows all.',
  );
}
