/**
 * The store of a single node: one SQLite file in the agent's data directory.
 *
 * Writes are a transaction with its fsync (WAL, synchronous=FULL), so what resolved is durable, also
 * across a power cut. Calls are synchronous inside; the data path does not run on this thread.
 * The agent holds the lock of the data directory, so there is one writer.
 */
import Database from 'better-sqlite3';
import { AurochsError } from '../core/errors.js';
import { STORE_BUSY_TIMEOUT_MS } from '../core/limits.js';
import { decodeResource, encodeResourceText } from '../volume/codec.js';
import type { Kind, Kinds, Revision, Store, StoreEvent, Stored, Watch } from '../volume/ports.js';
import { migrate } from './schema.js';
import { type Change, WatchHub } from './watch-hub.js';

interface Row {
  key: string;
  revision: number;
  value: string;
}

/** What a write has done, once it is committed. */
interface Applied<T> {
  result: T;
  change: Change;
}

/** A write that waits for the commit of its turn. */
interface WaitingWrite {
  /** Within the transaction; what it returns is called after the commit. */
  apply: () => () => void;
  reject: (error: unknown) => void;
}

export class EmbeddedStore implements Store {
  readonly #db: Database.Database;
  readonly #hub: WatchHub;
  readonly #select;
  readonly #selectAll;
  readonly #countAll;
  readonly #upsert;
  readonly #remove;
  readonly #nextRevision;
  readonly #waiting: WaitingWrite[] = [];

  private constructor(
    readonly path: string,
    db: Database.Database,
  ) {
    this.#db = db;
    this.#select = db.prepare<[string, string], Row>(
      'SELECT key, revision, value FROM resource WHERE kind = ? AND key = ?',
    );
    this.#selectAll = db.prepare<[string], Row>(
      'SELECT key, revision, value FROM resource WHERE kind = ? ORDER BY key',
    );
    this.#countAll = db
      .prepare<[string], number>('SELECT count(*) FROM resource WHERE kind = ?')
      .pluck();
    this.#upsert = db.prepare<[string, string, number, string]>(
      'INSERT OR REPLACE INTO resource (kind, key, revision, value) VALUES (?, ?, ?, ?)',
    );
    this.#remove = db.prepare<[string, string]>('DELETE FROM resource WHERE kind = ? AND key = ?');
    this.#nextRevision = db
      .prepare<[], number>(
        "UPDATE counter SET value = value + 1 WHERE name = 'revision' RETURNING value",
      )
      .pluck();
    this.#hub = new WatchHub(this.#revision());
  }

  /** Opens or creates the file. Refuses one of a newer schema (UNSUPPORTED) or a damaged one (CORRUPTION). */
  static open(path: string): EmbeddedStore {
    let db: Database.Database | undefined;
    try {
      db = new Database(path, { timeout: STORE_BUSY_TIMEOUT_MS });
      db.pragma('journal_mode = WAL');
      db.pragma('synchronous = FULL');
      migrate(db, path);
      return new EmbeddedStore(path, db);
    } catch (error) {
      db?.close();
      throw translate(error, path);
    }
  }

  async get<K extends Kind>(kind: K, key: string): Promise<Stored<K> | null> {
    return this.#run(() => {
      const row = this.#select.get(kind, key);
      return row === undefined ? null : this.#decode(kind, row);
    });
  }

  async count(kind: Kind): Promise<number> {
    return this.#run(() => this.#countAll.get(kind) ?? 0);
  }

  async list<K extends Kind>(kind: K): Promise<{ items: Stored<K>[]; revision: Revision }> {
    return this.#run(() => {
      const read = this.#db.transaction(() => ({
        rows: this.#selectAll.all(kind),
        revision: this.#revision(),
      }));
      const { rows, revision } = read();
      return {
        items: rows.map((row) => this.#decode(kind, row)),
        revision: String(revision),
      };
    });
  }

  async create<K extends Kind>(kind: K, key: string, value: Kinds[K]): Promise<Stored<K>> {
    return this.#put(kind, key, value, (current) => {
      if (current === undefined) return;
      throw new AurochsError('ALREADY_EXISTS', `there is a ${kind} ${JSON.stringify(key)} already`);
    });
  }

  async update<K extends Kind>(
    kind: K,
    key: string,
    value: Kinds[K],
    revision: Revision,
  ): Promise<Stored<K>> {
    return this.#put(kind, key, value, (current) => {
      requireRevision(kind, key, current, revision);
    });
  }

  async delete(kind: Kind, key: string, revision: Revision): Promise<void> {
    await this.#write(() => {
      const current = requireRevision(kind, key, this.#select.get(kind, key), revision);
      this.#remove.run(kind, key);
      const erased = this.#takeRevision();
      const event = () => ({
        type: 'deleted',
        key,
        revision: String(erased),
        last: decodeResource(kind, JSON.parse(current.value)),
      });
      return { result: undefined, change: { kind, key, revision: erased, event } };
    });
  }

  watch<K extends Kind>(
    kind: K,
    after: Revision,
    listener: (event: StoreEvent<K>) => void,
    lost: (why: string) => void,
    key?: string,
  ): Watch {
    const revision = Number(after);
    if (!/^\d+$/.test(after) || !Number.isSafeInteger(revision)) {
      throw new AurochsError('INVALID_ARGUMENT', `store: ${JSON.stringify(after)} is no revision`);
    }
    // The hub keeps events of all kinds; those of `kind` were made by this class for it.
    return this.#hub.watch(kind, revision, listener as (event: unknown) => void, lost, key);
  }

  async close(): Promise<void> {
    if (this.#db.open) this.#commit();
    this.#hub.close();
    this.#db.close();
  }

  #put<K extends Kind>(
    kind: K,
    key: string,
    value: Kinds[K],
    check: (current: Row | undefined) => void,
  ): Promise<Stored<K>> {
    const text = encodeResourceText<K>(value);
    decodeResource(kind, JSON.parse(text)); // What could not be read again is not written.
    return this.#write(() => {
      check(this.#select.get(kind, key));
      const row = { key, revision: this.#takeRevision(), value: text };
      this.#upsert.run(kind, key, row.revision, text);
      const event = () => ({ type: 'put', item: this.#decode(kind, row) });
      const change = { kind, key, revision: row.revision, event };
      return { result: this.#decode(kind, row), change };
    });
  }

  /**
   * Resolves when it is durable. The writes of one turn of the event loop share a transaction: a sync of the disk
   * holds up everything else, and a hundred volumes that change at once would wait for hundreds of them.
   */
  #write<T>(apply: () => Applied<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#commit());
      this.#waiting.push({
        apply: () => {
          const { result, change } = apply();
          return () => {
            this.#hub.publish(change);
            resolve(result);
          };
        },
        reject,
      });
    });
  }

  /** A write that is refused changes nothing and leaves the others alone; an error of SQLite ends them all. */
  #commit(): void {
    const writes = this.#waiting.splice(0);
    if (writes.length === 0) return;
    const settle: (() => void)[] = [];
    try {
      this.#run(() =>
        this.#db
          .transaction(() => {
            for (const { apply, reject } of writes) {
              try {
                settle.push(apply());
              } catch (error) {
                if (!(error instanceof AurochsError)) throw error;
                settle.push(() => reject(error));
              }
            }
          })
          .immediate(),
      );
    } catch (error) {
      for (const { reject } of writes) reject(error);
      return;
    }
    for (const each of settle) each();
  }

  #takeRevision(): number {
    const revision = this.#nextRevision.get();
    if (revision !== undefined) return revision;
    throw new AurochsError('CORRUPTION', `store ${this.path}: the revision counter is missing`);
  }

  #revision(): number {
    const select = this.#db
      .prepare<[], number>("SELECT value FROM counter WHERE name = 'revision'")
      .pluck();
    return select.get() ?? 0;
  }

  #decode<K extends Kind>(kind: K, row: Row): Stored<K> {
    let value: unknown;
    try {
      value = JSON.parse(row.value);
    } catch (error) {
      throw new AurochsError(
        'CORRUPTION',
        `store ${this.path}: ${kind} ${JSON.stringify(row.key)} is not JSON`,
        'Restore the store from a copy.',
        { cause: error },
      );
    }
    return { key: row.key, revision: String(row.revision), value: decodeResource(kind, value) };
  }

  #run<T>(task: () => T): T {
    if (!this.#db.open) {
      throw new AurochsError('UNAVAILABLE', `store ${this.path}: is closed`);
    }
    try {
      return task();
    } catch (error) {
      throw translate(error, this.path);
    }
  }
}

function requireRevision(
  kind: Kind,
  key: string,
  current: Row | undefined,
  revision: Revision,
): Row {
  if (current === undefined) {
    throw new AurochsError('NOT_FOUND', `there is no ${kind} ${JSON.stringify(key)}`);
  }
  if (String(current.revision) !== revision) {
    throw new AurochsError(
      'CONFLICT',
      `${kind} ${JSON.stringify(key)} was changed meanwhile (revision ${current.revision}, not ${revision})`,
      'Read it again and repeat the change.',
    );
  }
  return current;
}

/** The only translation of SQLite's errors into ours. */
function translate(error: unknown, path: string): unknown {
  if (!(error instanceof Database.SqliteError)) return error;
  const message = `store ${path}: ${error.message}`;
  const { code } = error;
  const wrap = (ours: ConstructorParameters<typeof AurochsError>[0], hint?: string): AurochsError =>
    new AurochsError(ours, message, hint, { cause: error });
  if (code === 'SQLITE_FULL')
    return wrap('NO_SPACE', 'Make room on the file system of --data-dir.');
  if (code.startsWith('SQLITE_READONLY'))
    return wrap('READ_ONLY', 'The data directory is read-only.');
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return wrap('BUSY', 'Another program has the file open; close it.');
  }
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') {
    return wrap('CORRUPTION', 'Restore the store from a copy. Replicas are not harmed.');
  }
  if (code.startsWith('SQLITE_CANTOPEN')) {
    return wrap('IO', 'Check that the data directory exists and that this user may write to it.');
  }
  return wrap('IO', 'The file system of the data directory failed; see the kernel log.');
}
