/** How an error reaches a person: what went wrong, what to do next, and an exit code. */
import { AurochsError } from '../core/errors.js';
import { EXIT_CODES } from './exit-codes.js';
import type { Terminal } from './terminal.js';

/** Prints the error and returns the exit code. The stack is shown only with AUROCHS_DEBUG=1. */
export function reportError(terminal: Terminal, thrown: unknown): number {
  const error = asAurochsError(thrown);
  terminal.stderr.write(`error: ${error.message}\n`);
  if (error.hint !== undefined) terminal.stderr.write(`next: ${error.hint}\n`);
  if (terminal.env['AUROCHS_DEBUG'] === '1') terminal.stderr.write(`${stackOf(thrown)}\n`);
  return EXIT_CODES[error.code];
}

function asAurochsError(thrown: unknown): AurochsError {
  if (thrown instanceof AurochsError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new AurochsError(
    'INTERNAL',
    message,
    'This is a bug of Aurochs. AUROCHS_DEBUG=1 shows where; please report it.',
  );
}

function stackOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const cause = thrown.cause === undefined ? '' : `\ncaused by: ${stackOf(thrown.cause)}`;
  return `${thrown.stack ?? thrown.message}${cause}`;
}
