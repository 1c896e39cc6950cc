import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { NOUNS, STANDALONE } from '../../../src/cli/command-tree.js';
import { EXIT_CODES } from '../../../src/cli/exit-codes.js';
import { ERROR_CODES } from '../../../src/core/errors.js';

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
    for (const { name, verbs } of NOUNS) {
      for (const { usage } of verbs) {
        const verb = usage.split(' ')[0] ?? '';
        assert.match(table, new RegExp(`aurochs ${name} .*\\b${verb}\\b`), `${name} ${verb}`);
      }
    }
    for (const { usage } of STANDALONE) {
      assert.ok(table.includes(`aurochs ${usage.split(' ')[0]}`), usage);
    }
  });
});
