// `npm run test:e2e`: the specs that need a real kernel, each in a virtual machine; with names after
// `--`, only those.
import { spawnSync } from 'node:child_process';
import { E2E_PACKAGES, ensureBuilt, root } from './setup.mjs';

ensureBuilt(E2E_PACKAGES);
const args = ['dist/test/e2e/support/run-specs.js', ...process.argv.slice(2)];
const child = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
process.exitCode = child.status ?? 1;
