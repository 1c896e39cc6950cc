// `npm run test:csi`: csi-sanity, the conformance suite of the Kubernetes CSI project, against the driver over an
// agent with the real engine whose machine is a fake one, so that it runs where the kernel has no devices.
// Arguments go to csi-sanity: `npm run test:csi -- --ginkgo.focus CreateVolume`.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBuilt, fail, quietly, root } from './setup.mjs';

const SANITY = 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.6.0';
const READY_TIMEOUT_MS = 30_000;

const LATER = 'a call of a later version than 1.11';
/** Specs that are not run, by a part of their name, with the reason. Any other that is skipped counts as failed. */
const SKIPPED = [
  ['pagination should detect volumes added between pages', 'csi-sanity has it switched off'],
  ['more volumes than the node max attach limit', 'nodes have no limit'],
  ['creating a snapshot with accessibility requirements', LATER],
  ['GetSnapshot [Controller Server]', LATER],
  ['ControllerGetVolumeHealth', LATER],
  ['ControllerListVolumeHealth', LATER],
  ['NodeGetVolumeHealth', LATER],
  ['NodeGetStorageHealth', LATER],
];

const scratch = mkdtempSync(join(tmpdir(), 'aurochs-csi-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

/** The program, built once; null where there is no Go. */
function sanityProgram() {
  const program = join(root, 'build/csi-sanity');
  if (existsSync(program)) return program;
  if (spawnSync('go', ['version']).status !== 0) return null;
  const env = { GOBIN: join(root, 'build'), GOFLAGS: '-buildvcs=false' };
  quietly('building csi-sanity', 'go', ['install', SANITY], env);
  return program;
}

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

function runSanity(program, endpoint, report, more) {
  const mutable = join(scratch, 'mutable.yaml');
  writeFileSync(mutable, 'staleReplicaTimeout: "10"\ndataLocality: best-effort\n');
  const args = [
    `--csi.endpoint=${endpoint}`,
    `--csi.mountdir=${scratch}/mount`,
    `--csi.stagingdir=${scratch}/staging`,
    `--csi.testvolumemutableparameters=${mutable}`,
    `--ginkgo.junit-report=${report}`,
    '--ginkgo.no-color',
    ...more,
  ];
  return (
    spawnSync(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'ignore'] }).status === 0
  );
}

/** Name and status of every spec in a JUnit report of ginkgo's. */
function specsIn(report) {
  const xml = readFileSync(report, 'utf8');
  return [...xml.matchAll(/<testcase name="\[It\] ([^"]*)"[^>]* status="([a-z]+)"/g)].map(
    ([, name, status]) => ({ name, status }),
  );
}

function reasonFor(name) {
  return SKIPPED.find(([part]) => name.includes(part))?.[1];
}

ensureBuilt();
const program = sanityProgram();
let totals;
if (program === null) {
  console.log('csi-sanity is not built: there is no Go');
  totals = { passed: 0, failed: 0, skipped: 1 };
} else {
  const { endpoint, stop } = await startAgent();
  const report = join(scratch, 'junit.xml');
  const more = process.argv.slice(2);
  const ended = runSanity(program, endpoint, report, more);
  const log = await stop();
  const specs = existsSync(report) ? specsIn(report) : [];
  const isSkip = ({ status }) => status === 'skipped' || status === 'pending';
  // Who asks for some specs skips the others.
  const unlisted =
    more.length > 0
      ? []
      : specs.filter((spec) => isSkip(spec) && reasonFor(spec.name) === undefined);
  for (const { name } of unlisted) console.log(`not on the list of skipped specs: ${name}`);
  const passed = specs.filter(({ status }) => status === 'passed').length;
  const skipped = specs.filter(isSkip).length - unlisted.length;
  const failed = Math.max(specs.length - passed - skipped, ended && passed > 0 ? 0 : 1);
  if (failed > 0) console.log(`what the agent has logged:\n${log}`);
  totals = { passed, failed, skipped };
}
if (process.env.AUROCHS_MOCHA_TOTALS !== undefined) {
  writeFileSync(process.env.AUROCHS_MOCHA_TOTALS, JSON.stringify(totals));
}
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exitCode = totals.failed === 0 ? 0 : 1;
