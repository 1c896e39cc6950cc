import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { ERROR_CODES } from '../../src/core/errors.js';
import { read, root, trackedFiles } from '../support/repository.js';
import { Scratch } from '../support/scratch.js';

const FILE_LINES_MAX = 600;
/** Files that may be longer, with the reason. */
const LONG_FILES: Record<string, string> = {};

// What a generator writes is not read by people.
const SOURCES = /^(native|src(?!\/csi\/gen\/)|test|scripts)\/.*\.(h|cc|ts|mjs|cjs)$/;

function expectQuiet(command: string, args: string[]): void {
  const child = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  assert.equal(child.status, 0, `${child.stdout}${child.stderr}`);
}

describe('the repository', function () {
  this.timeout(300_000);

  it('keeps files short enough to read', () => {
    const long = trackedFiles()
      .filter((path) => SOURCES.test(path) && !(path in LONG_FILES))
      .map((path) => ({ path, lines: read(path).split('\n').length }))
      .filter(({ lines }) => lines > FILE_LINES_MAX);
    assert.deepEqual(long, []);
  });

  it('leaves no note to do something later and no focused test', () => {
    const marks = /\b(TO\x44O|FIX\x4dE|XX\x58|HA\x43K)\b/;
    const focused = new RegExp(`\\b(describe|it)\\.on${'ly'}\\(`);
    const found = trackedFiles().filter(
      (path) => SOURCES.test(path) && (marks.test(read(path)) || focused.test(read(path))),
    );
    assert.deepEqual(found, []);
  });

  it('names every error code in docs/errors.md and shares the core’s part with native', () => {
    const documented = read('docs/errors.md');
    const native = read('native/base/status.cc');
    for (const code of ERROR_CODES) {
      assert(documented.includes(`\`${code}\``), `docs/errors.md lacks ${code}`);
    }
    const nativeNames = [...native.matchAll(/return "([A-Z_]+)";/g)].map((match) => match[1] ?? '');
    for (const name of nativeNames.filter((name) => name !== 'OK')) {
      assert((ERROR_CODES as readonly string[]).includes(name), `src/core/errors.ts lacks ${name}`);
    }
  });

  it('has what is generated from csi.proto as the generator writes it', () => {
    const scratch = new Scratch();
    try {
      expectQuiet(process.execPath, ['scripts/generate-csi.mjs', scratch.path]);
      expectQuiet('diff', ['-r', scratch.path, 'src/csi/gen']);
    } finally {
      scratch.remove();
    }
  });

  it('passes the linter', () => {
    expectQuiet(process.execPath, ['node_modules/eslint/bin/eslint.js', '.']);
  });

  it('is formatted by prettier', () => {
    expectQuiet(process.execPath, ['node_modules/prettier/bin/prettier.cjs', '--check', '.']);
  });

  it('is formatted by clang-format', () => {
    const sources = trackedFiles().filter((path) =>
      /^(native|test\/native)\/.*\.(h|cc)$/.test(path),
    );
    expectQuiet('clang-format', ['--dry-run', '--Werror', ...sources]);
  });
});
