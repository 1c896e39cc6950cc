/**
 * Programs in front of the real ones, first in the PATH of an agent, which kill that agent when one of them begins. The
 * real one runs nevertheless, as a program does whose parent is killed.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { run } from '../../support/programs.js';

export class ProgramTrap {
  readonly #programs: string;
  readonly #left: string;
  readonly #victim: string;
  readonly #log: string;

  constructor(directory: string) {
    this.#programs = join(directory, 'programs');
    this.#left = join(directory, 'left');
    this.#victim = join(directory, 'victim');
    this.#log = join(directory, 'struck');
  }

  /** For the agent. */
  get environment(): Record<string, string> {
    return { PATH: `${this.#programs}:${process.env['PATH']}` };
  }

  async install(programs: readonly string[]): Promise<void> {
    mkdirSync(this.#programs, { recursive: true });
    for (const program of programs) {
      const real = (await run('sh', '-c', `command -v ${program}`)).trim();
      const said = program === 'cryptsetup' ? `${program} "$1"` : program; // One of its many parts.
      const script = `#!/bin/sh
if [ -f ${this.#left} ]; then
  exec 9< ${this.#victim}
  flock 9 # Another program may count at the same time.
  left=$(($(cat ${this.#left}) - 1))
  echo $left > ${this.#left}
  if [ $left = 0 ]; then
    echo ${said} > ${this.#log}.new
    mv ${this.#log}.new ${this.#log}
    kill -KILL $(cat ${this.#victim})
  fi
  exec 9<&-
fi
exec ${real} "$@"
`;
      writeFileSync(join(this.#programs, program), script, { mode: 0o755 });
    }
  }

  /** It strikes at the `count`-th program from now. */
  set(count: number, victim: number): void {
    rmSync(this.#log, { force: true });
    writeFileSync(this.#victim, String(victim));
    writeFileSync(this.#left, String(count));
  }

  /** The program; null while it has not struck. */
  get struck(): string | null {
    return existsSync(this.#log) ? readFileSync(this.#log, 'utf8').trim() : null;
  }

  /** It will not strike any more. */
  disarm(): void {
    rmSync(this.#left, { force: true });
  }
}
