// `npm run bench`: set-up, then our servers and their peers side by side.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { BENCH_PACKAGES, ensureBuilt, fail, isStale, quietly, root } from './setup.mjs';

if (process.getuid() !== 0) {
  fail('the benchmark starts tgtd, which only root may', 'sudo npm run bench');
}
ensureBuilt(BENCH_PACKAGES);
const client = 'build/bench/iscsi-load';
const source = 'test/bench/iscsi_load.cc';
if (isStale(client, [source])) {
  mkdirSync(join(root, 'build/bench'), { recursive: true });
  const compile = ['-std=c++20', '-O2', source, '-o', client, '-liscsi'];
  quietly('compiling a client', 'g++', compile);
}
const args = ['dist/test/bench/main.js', ...process.argv.slice(2)];
process.exit(spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status ?? 1);
