/** The machines that run an agent on this store. */
import { AurochsError } from '../core/errors.js';
import type { NodeIdentity, Store } from './ports.js';

export class NodeService {
  constructor(private readonly store: Store) {}

  async list(): Promise<NodeIdentity[]> {
    return (await this.store.list('node')).items.map((item) => item.value);
  }

  /** By id or name. */
  async find(wanted: string): Promise<NodeIdentity> {
    const found = (await this.list()).find(({ id, name }) => id === wanted || name === wanted);
    if (found !== undefined) return found;
    throw new AurochsError(
      'NOT_FOUND',
      `there is no node ${JSON.stringify(wanted.slice(0, 80))}`,
      '"aurochs node ls" shows all.',
    );
  }
}
