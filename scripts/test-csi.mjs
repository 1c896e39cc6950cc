// `npm run test:csi`: csi-sanity, the conformance suite of the Kubernetes CSI project, against the driver over an
// agent with the real engine whose machine is a fake one, so that it runs where the kernel has no devices.
// Arguments go to csi-sanity: `npm run test:csi -- --ginkgo.focus CreateVolume`.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBuilt, fail, root } from './setup.mjs';

const READY_TIMEOUT_MS = 30_000;
const SANITY_TIMEOUT_MS = 600_000;

const scratch = mkdtempSync(join(tmpdir(), 'aurochs-csi-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

/** An agent that serves CSI at the returned endpoint, and how to end it. */
async function startAgent() {
  const endpoint = `unix://${scratch}/csi.sock`;
  const options = {
    dataDir: join(scratch, 'data'),
    runDir: join(scratch, 'run'),
    iscsiPortal: '127.0.0.1:0',
    nbdListen: `unix:${scratch}/nbd.sock`,
    csiEndpoint: endpoint,
  };
  const program = join(root, 'dist/test/support/csi-agent.js');
  const agent = spawn(process.execPath, [program, JSON.stringify(options)], { cwd: root });
  let log = '';
  agent.stderr.on('data', (bytes) => (log += bytes));
  const exited = once(agent, 'exit');
  const ready = await Promise.race([
    once(agent.stdout, 'data').then(() => true),
    exited.then(() => false),
    new Promise((resolve) => setTimeout(resolve, READY_TIMEOUT_MS, false).unref()),
  ]);
  if (!ready) fail(`the agent did not start:\n${log}`);
  const stop = async () => {
    agent.kill('SIGTERM');
    await exited;
    return log;
  };
  return { endpoint, stop };
}

ensureBuilt();
// Only now: it is one of the things that have been built.
const { buildSanity, runSanity } = await import('../dist/test/support/csi-sanity.js');
let totals;
if (!buildSanity()) {
  console.log('csi-sanity is not built: there is no Go');
  totals = { passed: 0, failed: 0, skipped: 1 };
} else {
  const { endpoint, stop } = await startAgent();
  const { passed, skipped, failures, output } = await runSanity({
    endpoint,
    directory: join(scratch, 'sanity'),
    more: process.argv.slice(2),
    timeoutMs: SANITY_TIMEOUT_MS,
  });
  const log = await stop();
  console.log(output);
  for (const failure of failures) console.log(failure);
  if (failures.length > 0) console.log(`what the agent has logged:\n${log}`);
  totals = { passed, failed: failures.length, skipped };
}
if (process.env.AUROCHS_MOCHA_TOTALS !== undefined) {
  writeFileSync(process.env.AUROCHS_MOCHA_TOTALS, JSON.stringify(totals));
}
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exitCode = totals.failed === 0 ? 0 : 1;
