/** Runs inside a guest: the task of this boot, with every result told to the host at once. */
import { readFileSync } from 'node:fs';
import Mocha from 'mocha';

import { type GuestTask, tellHost } from './messages.js';

/** Software emulation is twenty times slower than the machine below it, which others may use as well. */
const TEST_TIMEOUT_MS = 400_000;

async function runSpecs(module: string): Promise<void> {
  const mocha = new Mocha({ timeout: TEST_TIMEOUT_MS, forbidOnly: true, reporter: TellHost });
  mocha.addFile(module);
  await mocha.loadFilesAsync();
  await new Promise((resolve) => mocha.run(resolve));
}

/** A failed hook is told like a failed test: what it was to prepare did not run. */
class TellHost extends Mocha.reporters.Base {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const tell =
      (state: 'passed' | 'failed' | 'skipped') =>
      (test: Mocha.Test | Mocha.Hook, error?: Error): void => {
        const title = test.fullTitle();
        const ms = test.duration ?? 0;
        const why = error === undefined ? '' : (error.stack ?? String(error));
        console.log(`${state}: ${title} (${ms} ms)\n${why}`);
        tellHost({ type: 'test', title, state, ms, error: why });
      };
    runner.on('pass', tell('passed'));
    runner.on('fail', tell('failed'));
    runner.on('pending', tell('skipped'));
  }
}

const task = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as GuestTask;
tellHost({ type: 'booted' });
let error = '';
try {
  if (task.kind === 'specs') {
    await runSpecs(task.module);
  } else {
    const program = (await import(task.module)) as { default(argument: unknown): Promise<void> };
    await program.default(task.argument);
  }
} catch (thrown) {
  error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  console.log(error);
}
tellHost({ type: 'ended', error });
// Whatever a failed test has left running must not keep the guest up.
process.exit(error === '' ? 0 : 1);
