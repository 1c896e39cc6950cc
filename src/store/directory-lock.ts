/**
 * One agent per data directory. The lock is SQLite's own on a small file: the kernel holds it for the process and
 * lets go when the process ends, however it ends; nothing is left to clean up after a SIGKILL.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { AurochsError } from '../core/errors.js';

export class DirectoryLock {
  readonly #db: Database.Database;
  readonly #pidPath: string;

  private constructor(db: Database.Database, pidPath: string) {
    this.#db = db;
    this.#pidPath = pidPath;
  }

  /** BUSY names the directory and the process that holds it. */
  static take(directory: string): DirectoryLock {
    const pidPath = join(directory, 'agent.pid');
    let db: Database.Database | undefined;
    try {
      db = new Database(join(directory, 'agent.lock'), { timeout: 0 });
      db.exec('BEGIN EXCLUSIVE'); // Held until the process closes the file; nothing is written.
    } catch (error) {
      db?.close();
      throw lockError(error, directory, pidPath);
    }
    writeFileSync(pidPath, `${process.pid}\n`); // For people and for the error above.
    return new DirectoryLock(db, pidPath);
  }

  release(): void {
    rmSync(this.#pidPath, { force: true });
    this.#db.close();
  }
}

function lockError(error: unknown, directory: string, pidPath: string): unknown {
  if (!(error instanceof Database.SqliteError)) return error;
  if (error.code.startsWith('SQLITE_BUSY')) {
    return new AurochsError(
      'BUSY',
      `data directory ${directory} is in use by another agent${holder(pidPath)}`,
      'Stop that agent, or choose another --data-dir.',
      { cause: error },
    );
  }
  return new AurochsError(
    error.code === 'SQLITE_FULL' ? 'NO_SPACE' : 'PERMISSION_DENIED',
    `data directory ${directory} cannot be locked: ${error.message}`,
    'Check that this user may write there, and that the file system has locks and room.',
    { cause: error },
  );
}

function holder(pidPath: string): string {
  try {
    const pid = readFileSync(pidPath, 'utf8').trim();
    return /^\d+$/.test(pid) ? ` (process ${pid})` : '';
  } catch {
    return ''; // It is just starting.
  }
}
