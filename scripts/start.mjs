// `npm start`: from a fresh checkout to a block device that a client can reach. Does the set-up,
// starts the agent with embedded defaults and makes sure that a first volume is attached.
// Arguments go to the agent: `npm start -- --data-dir /srv/aurochs`.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureBuilt, fail, root } from './setup.mjs';

const FIRST_VOLUME = 'first';
const FIRST_VOLUME_SIZE = '1GiB';
const READY_TIMEOUT_MS = 30_000;

const cli = join(root, 'dist/src/cli/index.js');
const agentArguments = process.argv.slice(2);
const socketFlag = agentArguments.findIndex((argument) => argument === '--api-socket');
const clientArguments = socketFlag < 0 ? [] : agentArguments.slice(socketFlag, socketFlag + 2);

function aurochs(...command) {
  return spawnSync(process.execPath, [cli, ...command, ...clientArguments], { encoding: 'utf8' });
}

function agentAnswers() {
  return aurochs('volume', 'ls', '-o', 'json').status === 0;
}

async function untilReady(agent) {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < deadline) {
    if (agent.exitCode !== null) process.exit(agent.exitCode); // It has said why.
    if (agentAnswers()) return;
    await sleep(100);
  }
  agent.kill();
  fail(`the agent did not answer within ${READY_TIMEOUT_MS / 1000} s`, 'read its log lines above');
}

function showFirstVolume() {
  const volumes = JSON.parse(aurochs('volume', 'ls', '-o', 'json').stdout);
  const names = (Array.isArray(volumes) ? volumes : volumes.volumes).map((volume) => volume.name);
  if (names.length === 0) {
    const created = aurochs('volume', 'create', FIRST_VOLUME, '--size', FIRST_VOLUME_SIZE);
    if (created.status !== 0) fail('the first volume could not be created', created.stderr.trim());
  }
  const name = names[0] ?? FIRST_VOLUME;
  const attached = aurochs('volume', 'attach', name);
  if (attached.status !== 0) fail(`volume ${name} could not be attached`, attached.stderr.trim());
  process.stdout.write(attached.stdout);
}

ensureBuilt();
if (agentAnswers()) {
  console.log('An agent is running already.');
  showFirstVolume();
} else {
  const agent = spawn(process.execPath, [cli, 'agent', ...agentArguments], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => agent.kill(signal));
  const exited = once(agent, 'exit');
  await untilReady(agent);
  showFirstVolume();
  console.log('\nThe agent runs until you press Ctrl-C. More: npx aurochs --help');
  const [code] = await exited;
  process.exit(code ?? 1);
}
