/** The question before something is lost. Only a person at a terminal is asked; a script means it. */
import { createInterface } from 'node:readline/promises';

import { AurochsError } from '../core/errors.js';
import { canAsk, type Terminal } from './terminal.js';

/** Returns when it may go on; throws ABORTED when the answer is not yes. */
export async function confirm(terminal: Terminal, question: string, yes: boolean): Promise<void> {
  if (yes || !canAsk(terminal)) return;
  const lines = createInterface({ input: terminal.stdin, output: terminal.stderr });
  try {
    const answer = await lines.question(`${question} [y/N] `);
    if (/^y(es)?$/i.test(answer.trim())) return;
  } finally {
    lines.close();
  }
  throw new AurochsError(
    'ABORTED',
    'nothing was changed',
    'Answer y, or skip the question with --yes.',
  );
}
