// `npm test`: set-up, then every suite; the last line is the sum over all of them.
// `npm test -- unit core` runs only the named suites.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { E2E_PACKAGES, TEST_PACKAGES, ensureBuilt, fail, quietly, root } from './setup.mjs';

const FUZZ_SECONDS = Number(process.env.AUROCHS_FUZZ_SECONDS ?? 30);
const FUZZERS_PARALLEL = 2;
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

/** Those that take longer than a change should wait. */
const E2E_SPECS_LEFT_OUT = ['csi', 'csi-kill', 'csi-sanity', 'staging'];

/** Specs in virtual machines with a real kernel; all of them: `npm run test:e2e`. */
function endToEnd() {
  const file = join(scratch, 'e2e.json');
  const specs = readdirSync(join(root, 'test/e2e'))
    .map((source) => /^(.+)\.(guest|host)\.ts$/.exec(source)?.[1])
    .filter((name) => name !== undefined && !E2E_SPECS_LEFT_OUT.includes(name));
  const ended = run(process.execPath, ['dist/test/e2e/support/run-specs.js', ...specs], {
    AUROCHS_MOCHA_TOTALS: file,
  });
  return totalsFrom(file, ended, (totals) => totals);
}

/** csi-sanity against the driver. */
function csiSanity() {
  const file = join(scratch, 'csi.json');
  const ended = run(process.execPath, ['scripts/test-csi.mjs'], { AUROCHS_MOCHA_TOTALS: file });
  return totalsFrom(file, ended, (totals) => totals);
}

/** Runs a program beside others; resolves with its exit code and all that it has printed. */
async function runBeside(name, command, args, env = {}) {
  const log = join(scratch, `${name}.log`);
  const output = openSync(log, 'w');
  const stdio = ['ignore', output, output];
  const child = spawn(command, args, { cwd: root, stdio, env: { ...process.env, ...env } });
  const [status] = await once(child, 'close');
  closeSync(output);
  return { status, printed: readFileSync(log, 'utf8') };
}

/** Unit tests and simulation at once: the latter keeps one processor busy at most. */
async function googleTests(sanitize, simulation = {}) {
  const build = ['scripts/build-native.mjs', '--tests', '--sanitize', sanitize];
  quietly(`compiling the core's tests (sanitizer: ${sanitize})`, process.execPath, build);
  const [unit, sim] = await Promise.all([
    googleTest(sanitize, 'unit_tests'),
    googleTest(sanitize, 'sim_tests', simulation),
  ]);
  return { passed: unit.passed + sim.passed, failed: unit.failed + sim.failed };
}

async function googleTest(sanitize, name, env = {}) {
  const file = join(scratch, `${name}.json`);
  rmSync(file, { force: true });
  const executable = join(root, 'build', sanitize, 'Release', name);
  const args = ['--gtest_brief=1', `--gtest_output=json:${file}`];
  const { status, printed } = await runBeside(name, executable, args, {
    ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1',
    ...env,
  });
  process.stdout.write(printed);
  return totalsFrom(file, status === 0, ({ tests, failures, errors = 0, disabled = 0 }) => ({
    passed: tests - disabled - failures - errors,
    failed: failures + errors,
  }));
}

/** Each fuzzer starts from its kept corpus and may not find anything in its time. */
async function fuzzers() {
  quietly('compiling the fuzzers', process.execPath, ['scripts/build-native.mjs', '--fuzzers']);
  const names = readdirSync(join(root, 'test/native/fuzz'))
    .filter((source) => source.endsWith('_fuzz.cc'))
    .map((source) => basename(source, '.cc'))
    .sort();
  const totals = { passed: 0, failed: 0 };
  const fuzzOneAfterTheOther = async () => {
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      if (await fuzz(name)) totals.passed += 1;
      else totals.failed += 1;
    }
  };
  const parallel = Math.max(1, Math.min(FUZZERS_PARALLEL, availableParallelism()));
  await Promise.all(Array.from({ length: parallel }, fuzzOneAfterTheOther));
  return totals;
}

/** What it says is shown if it fails; the input that made it fail stays below build/fuzz. */
async function fuzz(name) {
  const found = join(scratch, name);
  const corpus = join(root, 'test/native/fuzz/corpus', name);
  mkdirSync(found, { recursive: true });
  mkdirSync(corpus, { recursive: true });
  const options = [`-max_total_time=${FUZZ_SECONDS}`, '-rss_limit_mb=2048', '-timeout=10'];
  const executable = join(root, 'build/fuzz/Release', name);
  const quiet = '-verbosity=0';
  const args = [...options, quiet, `-artifact_prefix=${root}/build/fuzz/${name}-`, found, corpus];
  console.log(`fuzzing ${name} for ${FUZZ_SECONDS} s`);
  const { status, printed } = await runBeside(name, executable, args);
  if (status !== 0) console.log(`${name} failed:\n${printed}`);
  return status === 0;
}

const SUITES = {
  tidy: () => mocha('dist/test/tidy/**/*.test.js'),
  unit: () => mocha('dist/test/unit/**/*.test.js'),
  core: () => googleTests('none'),
  'core-address': () => googleTests('address'),
  // Most of the simulation runs on one thread, so fewer operations find the same races.
  'core-thread': () => googleTests('thread', { AUROCHS_MODEL_OPS: '250000' }),
  fuzz: fuzzers,
  csi: csiSanity,
  integration: () => mocha('dist/test/integration/**/*.test.js'),
  e2e: endToEnd,
};

const wanted = process.argv.slice(2);
for (const name of wanted) {
  if (!(name in SUITES)) {
    fail(`there is no suite ${name}`, `choose from: ${Object.keys(SUITES).join(' ')}`);
  }
}
const isWanted = (name) => wanted.length === 0 || wanted.includes(name);
ensureBuilt([...TEST_PACKAGES, ...(isWanted('e2e') ? E2E_PACKAGES : [])]);
const rows = [];
for (const [name, suite] of Object.entries(SUITES)) {
  if (!isWanted(name)) continue;
  console.log(`\n== ${name}`);
  const started = Date.now();
  const totals = await suite();
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
