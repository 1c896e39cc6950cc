// `npm test`: set-up, then every suite; the last line is the sum over all of them.
// `npm test -- unit core` runs only the named suites.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { TEST_PACKAGES, ensureBuilt, fail, quietly, root } from './setup.mjs';

const FUZZ_SECONDS = Number(process.env.AUROCHS_FUZZ_SECONDS ?? 30);
const scratch = mkdtempSync(join(tmpdir(), 'aurochs-test-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

/** Runs a program with its output on the terminal; true if it ended well. */
function run(command, args, env = {}) {
  const child = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  return child.status === 0;
}

/** A suite that died before it could count itself is one failure. */
function totalsFrom(file, ended, read) {
  if (!existsSync(file)) return { passed: 0, failed: 1 };
  const totals = read(JSON.parse(readFileSync(file, 'utf8')));
  if (!ended && totals.failed === 0) totals.failed = 1;
  return totals;
}

function mocha(...globs) {
  const file = join(scratch, 'mocha.json');
  rmSync(file, { force: true });
  const ended = run(
    process.execPath,
    [
      'node_modules/mocha/bin/mocha.js',
      '--reporter',
      'scripts/mocha-reporter.cjs',
      '--forbid-only',
      ...globs,
    ],
    { AUROCHS_MOCHA_TOTALS: file },
  );
  return totalsFrom(file, ended, (totals) => totals);
}

function googleTest(sanitize, executable, args = []) {
  const build = ['scripts/build-native.mjs', '--tests', '--sanitize', sanitize];
  quietly(`compiling the core's tests (sanitizer: ${sanitize})`, process.execPath, build);
  const file = join(scratch, 'gtest.json');
  rmSync(file, { force: true });
  const ended = run(
    join(root, 'build', sanitize, 'Release', executable),
    ['--gtest_brief=1', `--gtest_output=json:${file}`, ...args],
    {
      ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1',
      UBSAN_OPTIONS: 'print_stacktrace=1',
      TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1',
    },
  );
  return totalsFrom(file, ended, ({ tests, failures, errors = 0, disabled = 0 }) => ({
    passed: tests - disabled - failures - errors,
    failed: failures + errors,
  }));
}

/** Each fuzzer starts from its kept corpus and may not find anything in its time. */
function fuzzers() {
  quietly('compiling the fuzzers', process.execPath, ['scripts/build-native.mjs', '--fuzzers']);
  const totals = { passed: 0, failed: 0 };
  for (const source of readdirSync(join(root, 'test/native/fuzz')).sort()) {
    if (!source.endsWith('_fuzz.cc')) continue;
    const name = basename(source, '.cc');
    const corpus = join(root, 'test/native/fuzz/corpus', name);
    const found = join(scratch, name);
    mkdirSync(found, { recursive: true });
    mkdirSync(corpus, { recursive: true });
    console.log(`fuzzing ${name} for ${FUZZ_SECONDS} s`);
    const options = [`-max_total_time=${FUZZ_SECONDS}`, '-rss_limit_mb=2048', '-timeout=10'];
    const quiet = ['-verbosity=0', '-print_final_stats=1', `-artifact_prefix=${root}/build/fuzz/`];
    const executable = join(root, 'build/fuzz/Release', name);
    if (run(executable, [...options, ...quiet, found, corpus])) totals.passed += 1;
    else totals.failed += 1;
  }
  return totals;
}

const SUITES = {
  tidy: () => mocha('dist/test/tidy/**/*.test.js'),
  unit: () => mocha('dist/test/unit/**/*.test.js'),
  core: () => googleTest('none', 'unit_tests'),
  sim: () => googleTest('none', 'sim_tests'),
  'core-address': () => googleTest('address', 'unit_tests'),
  'sim-address': () => googleTest('address', 'sim_tests'),
  'core-thread': () => googleTest('thread', 'unit_tests'),
  'sim-thread': () => googleTest('thread', 'sim_tests'),
  fuzz: fuzzers,
  integration: () => mocha('dist/test/integration/**/*.test.js'),
};

/** Too young to hold up every change: run them by name. */
const ONLY_BY_NAME = ['core-thread', 'sim-thread', 'fuzz'];

const wanted = process.argv.slice(2);
for (const name of wanted) {
  if (!(name in SUITES)) {
    fail(`there is no suite ${name}`, `choose from: ${Object.keys(SUITES).join(' ')}`);
  }
}
ensureBuilt(TEST_PACKAGES);
const rows = [];
for (const [name, suite] of Object.entries(SUITES)) {
  if (wanted.length > 0 ? !wanted.includes(name) : ONLY_BY_NAME.includes(name)) continue;
  console.log(`\n== ${name}`);
  const started = Date.now();
  const totals = suite();
  rows.push({ name, ...totals, seconds: Math.round((Date.now() - started) / 1000) });
}

console.log('');
for (const { name, passed, failed, skipped = 0, seconds } of rows) {
  const note = skipped > 0 ? `, ${skipped} skipped` : '';
  console.log(`${name.padEnd(14)} ${passed} passed, ${failed} failed${note} in ${seconds} s`);
}
const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
console.log(`\n${sum('passed')} passed, ${sum('failed')} failed`);
process.exitCode = sum('failed') === 0 && sum('passed') > 0 ? 0 : 1;
