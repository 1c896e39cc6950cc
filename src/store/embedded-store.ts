/**
 * The store of a single node: one SQLite file in the agent's data directory.
 *
 * A write is one transaction with its fsync (WAL, synchronous=FULL), so what resolved is durable, also
 * across a power cut. Calls are synchronous inside; the data path does not run on this thread.
 * The agent holds the lock of the data directory, so there is one writer.
 */
import Database from 'better-sqlite3';
import { AurochsError } from '../core/errors.js';
import { STORE_BUSY_TIMEOUT_MS } from '../core/limits.js';
import { decodeResource, encodeResourceText } from '../volume/codec.js';
import type { Kind, Kinds, Revision, Store, StoreEvent, Stored, Watch } from '../volume/ports.js';
import { migrate } from './schema.js';
import { WatchHub } from './watch-hub.js';

interface Row {
  key: string;
  revision: number;
  value: string;
}

export class EmbeddedStore implements Store {
  readonly #db: Database.Database;
  readonly #hub: WatchHub;
  readonly #select;
  readonly #selectAll;
  readonly #upsert;
  readonly #remove;
  readonly #nextRevision;

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
    return this.#run(() => {
      const row = this.#write(kind, key, value, (current) => {
        if (current === undefined) return;
        throw new AurochsError(
          'ALREADY_EXISTS',
          `there is a ${kind} ${JSON.stringify(key)} already`,
        );
      });
      return this.#decode(kind, row);
    });
  }

  async update<K extends Kind>(
    kind: K,
    key: string,
    value: Kinds[K],
    revision: Revision,
  ): Promise<Stored<K>> {
    return this.#run(() => {
      const row = this.#write(kind, key, value, (current) =>
        requireRevision(kind, key, current, revision),
      );
      return this.#decode(kind, row);
    });
  }

  async delete(kind: Kind, key: string, revision: Revision): Promise<void> {
    this.#run(() => {
      const erase = this.#db.transaction(() => {
        const current = requireRevision(kind, key, this.#select.get(kind, key), revision);
        this.#remove.run(kind, key);
        return { last: current.value, revision: this.#takeRevision() };
      });
      const erased = erase.immediate();
      this.#hub.publish({
        kind,
        key,
        revision: erased.revision,
        event: () => ({
          type: 'deleted',
          key,
          revision: String(erased.revision),
          last: decodeResource(kind, JSON.parse(erased.last)),
        }),
      });
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
    this.#hub.close();
    this.#db.close();
  }

  #write<K extends Kind>(
    kind: K,
    key: string,
    value: Kinds[K],
    check: (current: Row | undefined) => void,
  ): Row {
    const text = encodeResourceText<K>(value);
    const write = this.#db.transaction(() => {
      check(this.#select.get(kind, key));
      const revision = this.#takeRevision();
      this.#upsert.run(kind, key, revision, text);
      return { key, revision, value: text };
    });
    const row = write.immediate();
    this.#hub.publish({
      kind,
      key,
      revision: row.revision,
      event: () => ({ type: 'put', item: this.#decode(kind, row) }),
    });
    return row;
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
