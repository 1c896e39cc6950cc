/** The tables of the embedded store, as a list of steps: migration n brings version n to n + 1. */
import type { Database } from 'better-sqlite3';
import { AurochsError } from '../core/errors.js';

/** "AURO": marks the file as ours (PRAGMA application_id). */
export const APPLICATION_ID = 0x4155524f;

const MIGRATIONS: readonly string[] = [
  // 1: one row per resource; `revision` is that of its last change; the counter never goes back.
  `CREATE TABLE resource (
     kind     TEXT NOT NULL,
     key      TEXT NOT NULL,
     revision INTEGER NOT NULL,
     value    TEXT NOT NULL,
     PRIMARY KEY (kind, key)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   INSERT INTO counter VALUES ('revision', 0);`,
];

export const SCHEMA_VERSION = MIGRATIONS.length;

/** Brings the file to SCHEMA_VERSION, or refuses it and changes nothing. */
export function migrate(db: Database, path: string): void {
  const version = db.pragma('user_version', { simple: true }) as number;
  const application = db.pragma('application_id', { simple: true }) as number;
  if (version > 0 && application !== APPLICATION_ID) {
    throw new AurochsError(
      'CORRUPTION',
      `store ${path}: is a SQLite file of another program`,
      'Choose another --data-dir, or move the file away if it came there by mistake.',
    );
  }
  if (version > SCHEMA_VERSION) {
    throw new AurochsError(
      'UNSUPPORTED',
      `store ${path}: has schema ${version}; this version of aurochs knows up to ${SCHEMA_VERSION}`,
      'It was written by a newer aurochs. Install that version again, or restore an older copy of the store.',
    );
  }
  if (version === SCHEMA_VERSION) return;
  const upgrade = db.transaction(() => {
    for (const statements of MIGRATIONS.slice(version)) db.exec(statements);
    db.pragma(`application_id = ${APPLICATION_ID}`);
    db.pragma(`user_version = ${SCHEMA_VERSION}`);
  });
  upgrade.exclusive();
}
