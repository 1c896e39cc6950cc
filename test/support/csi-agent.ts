/**
 * A program: an agent with the real engine, store and API whose devices, file systems and mounts are fake, for machines
 * whose kernel has neither iSCSI nor NBD. Its argument is the agent's options as JSON. It runs until SIGTERM.
 */
import { resolveConfig, surroundings } from '../../src/daemon/config.js';
import { type AgentOptions } from '../../src/daemon/config.js';
import { startAgent } from '../../src/daemon/agent.js';
import type { MakeMachine } from '../../src/daemon/machine-parts.js';
import { createLogger } from '../../src/daemon/winston-logger.js';
import { DirectoryStaging } from './directory-staging.js';
import { FakeKernel, FakeNode } from './fake-node.js';

const fakeMachine: MakeMachine = async () => {
  const node = new FakeNode(new FakeKernel());
  return { devices: node, fileSystems: node, staging: new DirectoryStaging(node) };
};

const options = JSON.parse(process.argv[2] ?? '{}') as AgentOptions;
const config = resolveConfig(options, surroundings());
const log = createLogger(config.logFormat, config.logLevel);
const agent = await startAgent(config, log, fakeMachine);
console.log('ready');
process.once('SIGTERM', () => void agent.stop());
