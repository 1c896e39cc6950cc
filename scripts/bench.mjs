// `npm run bench`: set-up, then our servers and their peers side by side.
import { spawnSync } from 'node:child_process';
import { BENCH_PACKAGES, ensureBuilt, fail, root } from './setup.mjs';

if (process.getuid() !== 0) {
  fail('the benchmark starts tgtd, which only root may', 'sudo npm run bench');
}
ensureBuilt(BENCH_PACKAGES);
const args = ['dist/test/bench/main.js', ...process.argv.slice(2)];
process.exit(spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status ?? 1);
