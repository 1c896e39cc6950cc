/** Runs inside a guest: the task of this boot. */
import { readFileSync } from 'node:fs';

import { type GuestTask, tellHost } from './messages.js';

const task = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as GuestTask;
tellHost({ type: 'booted' });
let error = '';
try {
  if (task.kind === 'specs') {
    const { runSpecs } = await import('./guest-specs.js'); // Mocha takes seconds to load.
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
