/** What happens to volumes that the store does not record: snapshots, merges, sessions. */
import type { Logger } from '../core/logger.js';
import type { EngineSession } from './ports.js';

export type DomainEvent =
  | { type: 'snapshot'; volume: string; change: SnapshotChange; snapshot: string }
  | { type: 'mergeProgress'; volume: string; snapshot: string; share: number }
  | { type: 'mergeDone'; volume: string; snapshot: string; error: string | null }
  | { type: 'copyProgress'; /** The new one. */ volume: string; share: number }
  | { type: 'sessionOpened' | 'sessionClosed'; session: EngineSession };

export type SnapshotChange = 'created' | 'reverted' | 'removing';

export class DomainEvents {
  readonly #listeners = new Set<(event: DomainEvent) => void>();

  constructor(private readonly log: Logger) {}

  /** Listeners hear every event from now on, until they call what is returned. */
  subscribe(listener: (event: DomainEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(event: DomainEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        // One listener's fault must not reach the others, nor the work that emitted the event.
        this.log.error('a listener of domain events failed', { error: String(error) });
      }
    }
  }
}
