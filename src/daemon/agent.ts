/**
 * The agent, composed: each part is started in order and stopped in reverse order. Crash only: whatever a
 * killed agent left is found again in the store and in the replica directories.
 */
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { EventStream } from '../api/event-stream.js';
import { ApiServer } from '../api/server.js';
import { systemClock } from '../core/clock.js';
import { AurochsError, hasCode } from '../core/errors.js';
import { newId } from '../core/ids.js';
import type { Logger } from '../core/logger.js';
import { EngineHost } from '../engine/engine-host.js';
import { loadBinding } from '../native/binding.js';
import { DiskReconciler } from '../reconcile/disk-reconciler.js';
import { VolumeController } from '../reconcile/volume-controller.js';
import { VolumeReconciler } from '../reconcile/volume-reconciler.js';
import { DirectoryLock } from '../store/directory-lock.js';
import { EmbeddedStore } from '../store/embedded-store.js';
import { DiskService } from '../volume/disk-service.js';
import { DomainEvents } from '../volume/events.js';
import { refusalToExport, type ListenAddresses } from '../volume/exports.js';
import { OpenVolumes } from '../volume/open-volumes.js';
import type { Store } from '../volume/ports.js';
import { SnapshotService } from '../volume/snapshot-service.js';
import { VolumeService } from '../volume/volume-service.js';
import type { AgentConfig } from './config.js';
import { ioError, LocalDiskDirectories } from './disk-directories.js';
import { Health } from './health.js';
import { Lifecycle } from './lifecycle.js';
import { removeStaleSocket } from './sockets.js';
import { readVersion } from './version.js';

/** Files of the agent, CHAP secrets among them, are its user's alone. */
const PRIVATE_UMASK = 0o077;
const DIRECTORY_MODE = 0o700;

export interface Agent {
  listen: ListenAddresses;
  apiSocket: string;
  /** No new work, end the old, close; volumes stay attached in the store and are served again at the next start. */
  stop(): Promise<void>;
}

/** Starts an agent. What fails is undone and thrown as an AurochsError for a person. */
export async function startAgent(config: AgentConfig, log: Logger): Promise<Agent> {
  const lifecycle = new Lifecycle(log);
  try {
    return await composeAgent(config, log, lifecycle);
  } catch (error) {
    await lifecycle.stopAll();
    throw error;
  }
}

async function composeAgent(
  config: AgentConfig,
  log: Logger,
  lifecycle: Lifecycle,
): Promise<Agent> {
  const clock = systemClock;
  const version = readVersion();
  process.umask(PRIVATE_UMASK);
  await makeDirectory('--data-dir', config.dataDir);
  const lock = DirectoryLock.take(config.dataDir);
  lifecycle.started('lock', () => lock.release());
  await makeDirectory('--run-dir', config.runDir);
  await makeDirectory('--api-socket', dirname(config.apiSocket));
  await removeStaleSocket(config.apiSocket, '--api-socket');

  const store = EmbeddedStore.open(join(config.dataDir, 'state.db'));
  lifecycle.started('store', () => store.close());
  const nodeId = await nodeIdentity(store);
  await refuseOpenVolumes(store, config);

  const binding = loadBinding();
  const engine = new EngineHost(
    binding,
    { loops: config.loops, ioBackend: config.ioBackend },
    ({ level, component, message }) => log[level](message, { component }),
  );
  lifecycle.started('engine', () => engine.close());
  const listen = await listenAll(engine, config);

  const directories = new LocalDiskDirectories();
  const events = new DomainEvents(log);
  const open = new OpenVolumes({ store, engine, directories, events, clock, log });
  lifecycle.started('volumes', () => open.closeAll());
  const base = { store, engine, directories, nodeId, clock, log };
  const disks = new DiskService(base);
  await addDefaultDisk(disks, config);
  const volumes = new VolumeService({ ...base, open, disks, listen });
  const snapshots = new SnapshotService({ store, open, events, clock, log });

  const reconciler = new VolumeReconciler({ ...base, open, listen });
  const controller = new VolumeController({ ...base, open, reconciler });
  await controller.start();
  lifecycle.started('volume controller', () => controller.stop());
  const diskReconciler = new DiskReconciler(base);
  diskReconciler.start();
  lifecycle.started('disk reconciler', () => diskReconciler.stop());

  const { dataDir, apiSocket } = config;
  const { ioBackend } = engine;
  const ioUringProblem = (): string | null => binding.ioUringProblem();
  const about = { volumes, disks, listen, apiSocket, dataDir, version, ioBackend, ioUringProblem };
  const health = new Health(about);
  const stream = new EventStream({ store, volumes, events, version, clock, log });
  await stream.start();
  const api = new ApiServer({
    volumes,
    snapshots,
    disks,
    events: stream,
    version,
    health: () => health.body(),
    doctor: () => health.findings(),
    log,
  });
  lifecycle.started('API', () => api.close());
  await api.listen(apiSocket);
  health.state = 'ready';
  log.info('agent is ready', {
    version,
    pid: process.pid,
    dataDir,
    apiSocket,
    iscsi: listen.iscsi.join(' '),
    nbd: listen.nbd.join(' '),
    ioBackend,
  });
  return {
    listen,
    apiSocket,
    stop: async () => {
      health.state = 'stopping';
      await lifecycle.stopAll();
      log.info('agent has stopped');
    },
  };
}

async function makeDirectory(flag: string, path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
  } catch (error) {
    const { code, message, hint } = ioError(error, path);
    throw new AurochsError(code, `${flag} ${message}`, hint, { cause: error });
  }
}

async function nodeIdentity(store: Store): Promise<string> {
  const name = 'self'; // An embedded store belongs to one node.
  const known = await store.get('node', name);
  if (known !== null) return known.value.id;
  const identity = { id: newId(), name: hostname(), createdUnixMs: systemClock.nowUnixMs() };
  await store.create('node', name, identity);
  return identity.id;
}

/** Flags that would show an attached volume to strangers stop the start, before anything listens. */
async function refuseOpenVolumes(store: Store, config: AgentConfig): Promise<void> {
  const listen = {
    iscsi: config.iscsiPortals,
    nbd: config.nbdListeners,
    nbdClientsVerified: areClientsVerified(config),
  };
  const { items } = await store.list('volume');
  for (const { value: volume } of items.filter((item) => item.value.desired.attached)) {
    for (const frontend of volume.desired.frontends) {
      const refusal = refusalToExport(volume, frontend, listen);
      if (refusal !== null) throw refusal;
    }
  }
}

function areClientsVerified(config: AgentConfig): boolean {
  return config.nbdTls !== null && config.nbdTls.clientCaFile !== '';
}

async function listenAll(engine: EngineHost, config: AgentConfig): Promise<ListenAddresses> {
  const { discoveryChap: chap } = config;
  if (chap !== null) {
    const mutual =
      chap.mutualUser !== undefined && chap.mutualSecret !== undefined
        ? { user: chap.mutualUser, secret: chap.mutualSecret }
        : null;
    await engine.setDiscoveryAuth({ user: chap.user, secret: chap.secret }, mutual);
  }
  const tls = config.nbdTls === null ? null : { ...config.nbdTls, required: true };
  const iscsi: string[] = [];
  const nbd: string[] = [];
  for (const portal of config.iscsiPortals) {
    iscsi.push(await namingFlag('--iscsi-portal', portal, engine.listenIscsi(portal)));
  }
  for (const address of config.nbdListeners) {
    const used = engine.listenNbd(address, address.startsWith('unix:') ? null : tls);
    nbd.push(await namingFlag('--nbd-listen', address, used));
  }
  return { iscsi, nbd, nbdClientsVerified: areClientsVerified(config) };
}

async function namingFlag(flag: string, address: string, call: Promise<string>): Promise<string> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof AurochsError)) throw error;
    const hint = hasCode(error, 'BUSY')
      ? `Stop what listens there ("ss -ltnp" shows it), or choose another address with ${flag}.`
      : `Choose another address with ${flag}.`;
    throw new AurochsError(error.code, `${flag} ${address}: ${error.message}`, hint, {
      cause: error,
    });
  }
}

/** An agent without a disk gets one in its data directory; what is wrong with it stops the start. */
async function addDefaultDisk(disks: DiskService, config: AgentConfig): Promise<void> {
  if ((await disks.list()).length > 0) return;
  const path = join(config.dataDir, 'disk0');
  await makeDirectory('--data-dir', path);
  await disks.add(path);
}
