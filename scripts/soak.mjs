// `npm run soak [-- HOURS]`: the randomised tests with fresh seeds, and the fuzzers, for hours
// instead of the seconds that `npm test` gives them. Stops at the first failure, whose seed it shows.
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { TEST_PACKAGES, ensureBuilt, fail, quietly, root } from './setup.mjs';

const MODEL_OPERATIONS_PER_ROUND = 20_000_000;
const FUZZ_SECONDS_PER_ROUND = 600;

const hours = Number(process.argv[2] ?? 1);
if (!(hours > 0)) fail(`'${process.argv[2]}' is not a number of hours`, 'npm run soak -- 8');

function run(command, args, env) {
  const child = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (child.status !== 0) process.exit(1);
}

ensureBuilt(TEST_PACKAGES);
const build = ['scripts/build-native.mjs', '--tests', '--sanitize'];
for (const sanitize of ['none', 'address']) {
  quietly(`compiling the core's tests (sanitizer: ${sanitize})`, process.execPath, [
    ...build,
    sanitize,
  ]);
}
const end = Date.now() + hours * 3_600_000;
while (Date.now() < end) {
  const seed = String(randomInt(2 ** 32));
  console.log(`\nmodel seed ${seed}, ${new Date(end).toISOString()} is the end`);
  const env = { AUROCHS_MODEL_SEED: seed, AUROCHS_MODEL_OPS: String(MODEL_OPERATIONS_PER_ROUND) };
  for (const sanitize of ['none', 'address']) {
    run(`build/${sanitize}/Release/sim_tests`, ['--gtest_brief=1'], env);
  }
  run(process.execPath, ['scripts/test.mjs', 'fuzz'], {
    AUROCHS_FUZZ_SECONDS: String(FUZZ_SECONDS_PER_ROUND),
  });
}
