/** The CSI driver, composed: over the agent's API like every other client, inside the agent or beside it. */
import { dirname } from 'node:path';

import { ApiClient } from '../api/client.js';
import { AurochsError } from '../core/errors.js';
import { CSI_AGENT_CONNECTIONS_MAX, CSI_ANSWER_TIMEOUT_MS } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import { MetricsServer } from '../csi/metrics-server.js';
import { CsiServer } from '../csi/server.js';
import type { CsiConfig } from './csi-config.js';
import { makeDirectories } from './disk-directories.js';
import type { Lifecycle } from './lifecycle.js';
import { removeStaleSocket } from './sockets.js';
import { readVersion } from './version.js';

export async function startCsi(
  config: CsiConfig,
  apiSocket: string,
  log: Logger,
  lifecycle: Lifecycle,
): Promise<void> {
  const { flags, socketPath, mode, nodeId, metrics } = config;
  const agent = new ApiClient({
    socketPath: apiSocket,
    answerTimeoutMs: CSI_ANSWER_TIMEOUT_MS,
    connectionsMax: CSI_AGENT_CONNECTIONS_MAX,
  });
  lifecycle.started('CSI agent client', () => agent.close());
  const health = new ApiClient({ socketPath: apiSocket, connectionsMax: 1 });
  lifecycle.started('CSI health client', () => health.close());
  const version = readVersion();
  const server = await CsiServer.create({ agent, health, mode, nodeId, version, log });
  if (metrics !== null) await startMetrics(server, metrics, config, log, lifecycle);
  await makeDirectories(dirname(socketPath));
  await removeStaleSocket(socketPath, flags.endpoint);
  lifecycle.started('CSI', () => server.close());
  await server.listen(socketPath);
  log.info('csi driver is ready', { endpoint: socketPath, mode, node: server.node.name });
}

async function startMetrics(
  csi: CsiServer,
  where: NonNullable<CsiConfig['metrics']>,
  { flags }: CsiConfig,
  log: Logger,
  lifecycle: Lifecycle,
): Promise<void> {
  const server = new MetricsServer(csi.metrics);
  if ('path' in where) await removeStaleSocket(where.path, flags.metricsListen);
  try {
    await server.listen(where);
  } catch (error) {
    const address = 'path' in where ? where.path : `${where.host}:${where.port}`;
    const message = `${flags.metricsListen} ${address}: ${(error as Error).message}`;
    throw new AurochsError('INVALID_ARGUMENT', message, 'Choose another address.', {
      cause: error,
    });
  }
  lifecycle.started('CSI metrics', () => server.close());
  log.info('metrics of the csi driver', { ...where, ...portInUse(server) });
}

function portInUse({ port }: MetricsServer): { port?: number } {
  return port === null ? {} : { port };
}
