import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { EXIT_CODES } from '../../../src/cli/exit-codes.js';
import { ERROR_CODES } from '../../../src/core/errors.js';
import { everyCommand } from './every-command.js';

const page = readFileSync('docs/cli.md', 'utf8');

describe('docs/cli.md', () => {
  it('lists every exit code, each once', () => {
    const rows = [...page.matchAll(/^\| (\d+) \| ([A-Z_]+) \|/gm)];
    const documented: Record<string, number> = Object.fromEntries(
      rows.map(([, exit, code]) => [String(code), Number(exit)] as const),
    );
    assert.deepEqual(documented, EXIT_CODES);
    assert.equal(rows.length, ERROR_CODES.length);
    assert.equal(new Set(Object.values(EXIT_CODES)).size, ERROR_CODES.length);
  });

  it('names every command', () => {
    const table = page.slice(0, page.indexOf('## '));
    for (const { path } of everyCommand()) {
      const words = path.split(' ');
      const verb = words.pop() ?? '';
      assert.match(table, new RegExp(`aurochs ${words.join(' ')}.*\\b${verb}\\b`), path);
    }
  });
});
