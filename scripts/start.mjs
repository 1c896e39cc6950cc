// `npm start`: from a fresh checkout to a block device that a client can reach. Does the set-up,
// starts the agent with embedded defaults and makes sure that a first volume is attached.
// Arguments go to the agent: `npm start -- --data-dir /srv/aurochs`.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ensureBuilt, fail, root } from './setup.mjs';

const FIRST_VOLUME = 'first';
const FIRST_VOLUME_SIZE = '1GiB';
const READY_TIMEOUT_MS = 30_000;

const cli = join(root, 'dist/src/cli/index.js');
const agentArguments = process.argv.slice(2);

/** Where the agent with these arguments listens, by the agent's own rules. */
async function apiSocketOf(given) {
  const { resolveConfig, surroundings } = await import('../dist/src/daemon/config.js');
  const place = { type: 'string' };
  const { values } = parseArgs({
    args: given,
    strict: false,
    options: { 'data-dir': place, 'run-dir': place, 'api-socket': place },
  });
  const said = (flag) => (typeof values[flag] === 'string' ? values[flag] : undefined);
  const apiSocket = said('api-socket') ?? (process.env.AUROCHS_API_SOCKET || undefined);
  const places = { dataDir: said('data-dir'), runDir: said('run-dir'), apiSocket };
  return resolveConfig(places, surroundings()).apiSocket;
}

ensureBuilt();
const apiSocket = await apiSocketOf(agentArguments);

function aurochs(...command) {
  const args = [cli, ...command, '--api-socket', apiSocket];
  return spawnSync(process.execPath, args, { encoding: 'utf8' });
}

function agentAnswers() {
  return aurochs('volume', 'ls', '-o', 'json').status === 0;
}

async function untilReady(agent) {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < deadline) {
    if (agent.exitCode !== null) process.exit(agent.exitCode); // It has said why.
    if (agent.signalCode !== null) process.exit(1);
    if (agentAnswers()) return;
    await sleep(100);
  }
  const seconds = READY_TIMEOUT_MS / 1000;
  fail(`the agent did not answer within ${seconds} s`, 'read its log lines above');
}

/** Shows how to reach a volume. One that somebody has detached stays as it is. */
function showFirstVolume() {
  const volumes = JSON.parse(aurochs('volume', 'ls', '-o', 'json').stdout);
  if (volumes.length === 0) {
    const created = aurochs('volume', 'create', FIRST_VOLUME, '--size', FIRST_VOLUME_SIZE);
    if (created.status !== 0) {
      fail('the first volume could not be created', created.stderr.trim());
    }
  }
  const attachedNames = volumes.filter((v) => v.desiredAttached).map((v) => v.name);
  const chosen =
    volumes.length === 0 || attachedNames.includes(FIRST_VOLUME) ? FIRST_VOLUME : attachedNames[0];
  if (chosen === undefined) {
    console.log(`No volume is attached. Attach one: npx aurochs volume attach ${volumes[0].name}`);
    return;
  }
  const attached = aurochs('volume', 'attach', chosen);
  if (attached.status !== 0) {
    fail(`volume ${chosen} could not be attached`, attached.stderr.trim());
  }
  process.stdout.write(attached.stdout);
}

if (agentAnswers()) {
  console.log(`An agent is running already, at ${apiSocket}.`);
  if (agentArguments.length > 0) console.log('It keeps its own arguments; these were not used.');
  showFirstVolume();
} else {
  const agent = spawn(process.execPath, [cli, 'agent', ...agentArguments], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => agent.kill(signal));
  process.on('exit', () => agent.kill()); // Whatever goes wrong here, the agent does not outlive it.
  const exited = once(agent, 'exit');
  await untilReady(agent);
  showFirstVolume();
  console.log('\nThe agent runs until you press Ctrl-C. More: npx aurochs --help');
  const [code] = await exited;
  process.exit(code ?? 1);
}
