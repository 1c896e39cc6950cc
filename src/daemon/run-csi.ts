/** `aurochs csi`: the CSI driver as a process of its own, until a signal ends it. */
import type { LogLevel } from '../core/logger.js';
import type { LOG_FORMATS } from './config.js';
import { startCsi } from './csi.js';
import { CSI_FLAGS, type CsiOptions, resolveCsiConfig } from './csi-config.js';
import { Lifecycle } from './lifecycle.js';
import { crashOnBugs, signalled, stopInTime } from './until-signal.js';
import { createLogger } from './winston-logger.js';

export interface RunCsiOptions extends CsiOptions {
  apiSocket: string;
  logLevel: LogLevel;
  logFormat: (typeof LOG_FORMATS)[number];
}

/** As runAgent. */
export async function runCsi(options: RunCsiOptions): Promise<void> {
  const config = resolveCsiConfig(options, CSI_FLAGS);
  const log = createLogger(options.logFormat, options.logLevel);
  crashOnBugs('csi driver', log);
  const stopped = signalled('csi driver', log);
  const lifecycle = new Lifecycle(log);
  try {
    await startCsi(config, options.apiSocket, log, lifecycle);
    await stopped;
  } finally {
    await stopInTime('csi driver', () => lifecycle.stopAll(), log);
  }
}
