/**
 * The changes of one process, in the order of their revisions, for everybody who watches. Keeps the last
 * few thousand so that a watch can begin at a revision that was read a moment ago.
 */
import { AurochsError } from '../core/errors.js';
import { STORE_WATCHES_MAX, STORE_WATCH_BACKLOG } from '../core/limits.js';
import type { Kind, Watch } from '../volume/ports.js';

export interface Change {
  kind: Kind;
  key: string;
  revision: number;
  /** Makes an event of it; decoded anew for each watch, so that nobody shares an object. */
  event: () => unknown;
}

interface Watcher {
  kind: Kind;
  /** Undefined: every key. */
  key: string | undefined;
  nextRevision: number;
  listener: (event: unknown) => void;
  lost: (why: string) => void;
}

export class WatchHub {
  readonly #backlog: Change[] = [];
  readonly #watchers = new Set<Watcher>();
  /** The newest revision that is no longer in the backlog. */
  #forgotten: number;
  #scheduled = false;

  /** `revision` is the store's at the start; earlier changes are unknown here. */
  constructor(
    revision: number,
    private readonly backlogMax = STORE_WATCH_BACKLOG,
  ) {
    this.#forgotten = revision;
  }

  publish(change: Change): void {
    this.#backlog.push(change);
    while (this.#backlog.length > this.backlogMax) {
      this.#forgotten = this.#backlog.shift()?.revision ?? this.#forgotten;
    }
    this.#schedule();
  }

  watch(
    kind: Kind,
    after: number,
    listener: (event: unknown) => void,
    lost: (why: string) => void,
    key?: string,
  ): Watch {
    if (this.#watchers.size >= STORE_WATCHES_MAX) {
      throw new AurochsError('LIMIT_EXCEEDED', `store: ${STORE_WATCHES_MAX} watches are open`);
    }
    const watcher: Watcher = { kind, key, nextRevision: after + 1, listener, lost };
    this.#watchers.add(watcher);
    this.#schedule();
    return { close: () => this.#watchers.delete(watcher) };
  }

  /** Ends every watch without a word: the store is closing. */
  close(): void {
    this.#watchers.clear();
  }

  /** Later, so that no listener runs inside a call of the store, nor before its caller has the answer. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      for (const watcher of [...this.#watchers]) this.#deliver(watcher);
    });
  }

  #deliver(watcher: Watcher): void {
    if (watcher.nextRevision <= this.#forgotten) {
      this.#watchers.delete(watcher);
      watcher.lost(`revision ${watcher.nextRevision - 1} is too old to watch from`);
      return;
    }
    for (const change of this.#since(watcher.nextRevision)) {
      if (!this.#watchers.has(watcher)) return; // Closed by its own listener.
      watcher.nextRevision = change.revision + 1;
      if (change.kind !== watcher.kind) continue;
      if (watcher.key === undefined || watcher.key === change.key) watcher.listener(change.event());
    }
  }

  /** Revisions in the backlog have no gaps. */
  #since(revision: number): Change[] {
    const first = this.#backlog[0]?.revision;
    return first === undefined ? [] : this.#backlog.slice(Math.max(0, revision - first));
  }
}
