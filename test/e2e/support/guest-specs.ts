/** Runs a mocha file inside a guest and tells the host each result at once. */
import Mocha from 'mocha';

import { tellHost } from './messages.js';

/** Software emulation is twenty times slower than the machine below it, which others may use too. */
const TEST_TIMEOUT_MS = 400_000;

export async function runSpecs(module: string): Promise<void> {
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
