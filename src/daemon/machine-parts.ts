/** What the agent does to the machine it runs on: devices, file systems, staged volumes. */
import { join } from 'node:path';

import type { Logger } from '../core/logger.js';
import type { EngineHost } from '../engine/engine-host.js';
import { SystemCommandRunner } from '../node/command.js';
import { HostDevices } from '../node/devices.js';
import { HostFileSystems } from '../node/file-systems.js';
import { hostOfThisProcess } from '../node/host-namespaces.js';
import { HostStaging } from '../node/staging.js';
import type { NodeDevices, NodeFileSystems, NodeStaging } from '../volume/ports.js';
import type { AgentConfig } from './config.js';

export interface MachineParts {
  devices: NodeDevices;
  fileSystems: NodeFileSystems;
  staging: NodeStaging;
}

/** Tests put another machine in the place of this one. */
export type MakeMachine = (
  config: AgentConfig,
  engine: EngineHost,
  log: Logger,
) => Promise<MachineParts>;

export const thisMachine: MakeMachine = async (config, engine, log) => {
  const host = await hostOfThisProcess(new SystemCommandRunner());
  const devices = new HostDevices(host, engine.kernelNbd, log);
  const imageDirectory = join(config.dataDir, 'images');
  return {
    devices,
    fileSystems: new HostFileSystems(host, devices, imageDirectory),
    staging: new HostStaging(host, devices, imageDirectory),
  };
};
