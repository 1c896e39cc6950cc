/** A directory that is gone after the test, whatever was mounted in it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class Scratch {
  readonly path = mkdtempSync(join(tmpdir(), 'aurochs-it-'));
  readonly #mounts: string[] = [];

  file(...names: string[]): string {
    return join(this.path, ...names);
  }

  /** Mounts a file system of its own at `directory`; throws when this user may not. */
  mountTmpfs(directory: string, options: string): void {
    this.#mount(directory, ['-t', 'tmpfs', '-o', options, 'tmpfs']);
  }

  mountRamfs(directory: string): void {
    this.#mount(directory, ['-t', 'ramfs', 'ramfs']);
  }

  remove(): void {
    for (const mount of this.#mounts.splice(0)) execFileSync('umount', ['-l', mount]);
    rmSync(this.path, { recursive: true, force: true });
  }

  #mount(directory: string, args: readonly string[]): void {
    execFileSync('mount', [...args, directory], { stdio: 'pipe' });
    this.#mounts.push(directory);
  }
}
