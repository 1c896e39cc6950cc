/**
 * The agent, composed: each part is started in order and stopped in reverse order. Crash only: whatever a
 * killed agent left is found again in the store and in the replica directories.
 */
import { dirname, join } from 'node:path';
import { EventStream } from '../api/event-stream.js';
import { systemClock } from '../core/clock.js';
import { AurochsError, hasCode } from '../core/errors.js';
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
import { GroupService } from '../volume/group-service.js';
import { MountService } from '../volume/mount-service.js';
import { NodeService } from '../volume/node-service.js';
import { NodeUse } from '../volume/node-use.js';
import { OpenVolumes } from '../volume/open-volumes.js';
import type { Store } from '../volume/ports.js';
import { PublicationService } from '../volume/publication-service.js';
import { SnapshotService } from '../volume/snapshot-service.js';
import { VolumeCopies } from '../volume/volume-copies.js';
import { StagingService } from '../volume/staging-service.js';
import { VolumeService } from '../volume/volume-service.js';
import { type AgentConfig, verifiesClients } from './config.js';
import type { CsiConfig } from './csi-config.js';
import { ioError, LocalDiskDirectories, makeDirectories } from './disk-directories.js';
import { examineMachine } from './doctor.js';
import { Health } from './health.js';
import { Lifecycle } from './lifecycle.js';
import { nodeIdentity } from './node-identity.js';
import { ServiceManager, watchdogMsOf } from './service-manager.js';
import { removeStaleSocket, shareSocket } from './sockets.js';
import { type MachineParts, type MakeMachine, thisMachine } from './machine-parts.js';
import { readVersion } from './version.js';

/** Files of the agent, CHAP secrets among them, are its user's alone. */
const PRIVATE_UMASK = 0o077;
/** A volume that takes longer must not keep the others from being served. */
const OPEN_BEFORE_LISTENING_MS = 1_000;
/** Nor must a device keep the API from telling what is wrong with it. */
const DEVICES_BEFORE_API_MS = 1_000;

export interface Agent {
  listen: ListenAddresses;
  apiSocket: string;
  /** No new work, end the old, close; volumes stay attached in the store and are served again at the next start. */
  stop(): Promise<void>;
}

/** Starts an agent. What fails is undone and thrown as an AurochsError for a person. */
export async function startAgent(
  config: AgentConfig,
  log: Logger,
  makeMachine: MakeMachine = thisMachine,
): Promise<Agent> {
  const lifecycle = new Lifecycle(log);
  try {
    return await composeAgent(config, log, lifecycle, makeMachine);
  } catch (error) {
    await lifecycle.stopAll();
    throw error;
  }
}

async function composeAgent(
  config: AgentConfig,
  log: Logger,
  lifecycle: Lifecycle,
  makeMachine: MakeMachine,
): Promise<Agent> {
  const version = readVersion();
  await lockDirectories(config, lifecycle);
  const store = EmbeddedStore.open(join(config.dataDir, 'state.db'));
  lifecycle.started('store', () => store.close());
  const listen = wantedAddresses(config);
  await refuseOpenVolumes(store, listen);
  const binding = loadBinding();
  const engine = new EngineHost(
    binding,
    { loops: config.loops, ioBackend: config.ioBackend, lockMemory: config.lockMemory },
    ({ level, component, message }) => log[level](message, { component }),
  );
  lifecycle.started('engine', () => engine.close());

  const services = await startServices({
    store,
    engine,
    machine: await makeMachine(config, engine, log),
    listen,
    config,
    log,
    lifecycle,
  });
  // Volumes first: an initiator that comes back finds a closed port, which it tries again, and never a portal
  // that does not know its target, which it may give up on.
  await services.controller.settled(OPEN_BEFORE_LISTENING_MS);
  await listenAll(engine, config, listen);
  // Devices next: somebody's I/O waits for them, and loading the API takes longer than making them.
  await services.controller.listening();
  await services.controller.settled(DEVICES_BEFORE_API_MS);

  const { volumes, disks } = services;
  const { dataDir, apiSocket } = config;
  const { ioBackend } = engine;
  const examine = () => examineMachine(dataDir);
  const about = { volumes, disks, listen, apiSocket, dataDir, version, ioBackend, examine };
  const health = new Health(about);
  await startApi({ ...services, store, health, config, version, log, lifecycle });
  if (config.csi !== null) await startCsiHere(config.csi, apiSocket, log, lifecycle);
  const serviceManager = new ServiceManager({
    notify: (state) => binding.notifySystemd(state),
    ping: () => engine.ping(),
    volumesServed: () => services.open.servedCount,
    watchdogMs: watchdogMsOf(process.env, process.pid),
    clock: systemClock,
    log,
  });
  health.state = 'ready';
  serviceManager.ready();
  const addresses = { iscsi: listen.iscsi.join(' '), nbd: listen.nbd.join(' '), apiSocket };
  log.info('agent is ready', { version, pid: process.pid, dataDir, ...addresses, ioBackend });
  return {
    listen,
    apiSocket,
    stop: async () => {
      health.state = 'stopping';
      serviceManager.stopping();
      await lifecycle.stopAll();
      log.info('agent has stopped');
    },
  };
}

async function lockDirectories(config: AgentConfig, lifecycle: Lifecycle): Promise<void> {
  process.umask(PRIVATE_UMASK);
  await makeDirectory('--data-dir', config.dataDir);
  const lock = DirectoryLock.take(config.dataDir);
  lifecycle.started('lock', () => lock.release());
  await makeDirectory('--run-dir', config.runDir);
  await makeDirectory('--api-socket', dirname(config.apiSocket));
  await removeStaleSocket(config.apiSocket, '--api-socket');
}

interface ServiceParts {
  store: Store;
  engine: EngineHost;
  machine: MachineParts;
  listen: ListenAddresses;
  config: AgentConfig;
  log: Logger;
  lifecycle: Lifecycle;
}

interface Services {
  volumes: VolumeService;
  publications: PublicationService;
  mounts: MountService;
  staging: StagingService;
  snapshots: SnapshotService;
  groups: GroupService;
  nodes: NodeService;
  disks: DiskService;
  events: DomainEvents;
  controller: VolumeController;
  open: OpenVolumes;
}

/** The domain and its reconcilers; from here on volumes are opened. */
async function startServices(parts: ServiceParts): Promise<Services> {
  const { store, engine, machine, listen, config, log, lifecycle } = parts;
  const { devices } = machine;
  const clock = systemClock;
  const directories = new LocalDiskDirectories();
  const events = new DomainEvents(log);
  const open = new OpenVolumes({ store, engine, directories, events, clock, log });
  lifecycle.started('volumes', () => open.stop());
  const nodeId = await nodeIdentity(store, config);
  const base = { store, engine, directories, nodeId, clock, log };
  const disks = new DiskService(base);
  await addDefaultDisk(disks, config);
  const use = new NodeUse({ store, open });
  const copies = new VolumeCopies({ ...base, open, devices, events });
  lifecycle.started('copies', () => copies.stop());
  const volumes = new VolumeService({ ...base, open, use, copies, devices, disks, listen });
  const nodes = new NodeService(store);
  const publications = new PublicationService({ store, volumes, nodes, log });
  const shared = { store, open, devices, events, clock, log };
  const snapshots = new SnapshotService(shared);
  const groups = new GroupService({ ...shared, snapshots });
  await groups.removeUnfinished();
  const mounts = new MountService({ volumes, use, fileSystems: machine.fileSystems, log });
  const stagingDeps = { volumes, use, devices, disks, dataDir: config.dataDir, log };
  const staging = new StagingService({ ...stagingDeps, staging: machine.staging });

  const reconciler = new VolumeReconciler({ ...base, open, copies, devices, listen });
  const controller = new VolumeController({ ...base, open, reconciler });
  lifecycle.started('volume controller', () => controller.stop());
  await controller.start();
  const diskReconciler = new DiskReconciler(base);
  lifecycle.started('disk reconciler', () => diskReconciler.stop());
  diskReconciler.start();
  const useCases = { volumes, publications, mounts, staging, snapshots, groups, disks, nodes };
  return { ...useCases, events, controller, open };
}

interface ApiParts extends Services {
  store: Store;
  health: Health;
  config: AgentConfig;
  version: string;
  log: Logger;
  lifecycle: Lifecycle;
}

async function startApi(parts: ApiParts): Promise<void> {
  const { config, store, health, log, lifecycle, ...services } = parts;
  const { volumes, version } = services;
  const clock = systemClock;
  const events = new EventStream({ store, volumes, events: parts.events, version, clock, log });
  lifecycle.started('events', () => events.close());
  await events.start();
  // Loaded last: a web framework takes longer to load than volumes take to open, and nobody's I/O needs it.
  const { ApiServer } = await import('../api/server.js');
  const api = new ApiServer({
    ...services,
    log,
    events,
    health: () => health.body(),
    doctor: () => health.findings(),
  });
  lifecycle.started('API', () => api.close());
  const { apiSocket, apiSocketGroup } = config;
  await api.listen(apiSocket);
  if (apiSocketGroup !== null) await shareSocket(apiSocket, apiSocketGroup, log);
}

/** Over our own socket: the driver knows the agent as every other client does. */
async function startCsiHere(
  csi: CsiConfig,
  apiSocket: string,
  log: Logger,
  lifecycle: Lifecycle,
): Promise<void> {
  // Only where it is asked for: gRPC takes a while to load.
  const { startCsi } = await import('./csi.js');
  await startCsi(csi, apiSocket, log, lifecycle);
}

async function makeDirectory(flag: string, path: string): Promise<void> {
  try {
    await makeDirectories(path);
  } catch (error) {
    const { code, message, hint } = ioError(error, path);
    throw new AurochsError(code, `${flag} ${message}`, hint, { cause: error });
  }
}

/** Where the agent will listen; port 0 becomes a real one in listenAll. */
function wantedAddresses(config: AgentConfig): {
  -readonly [K in keyof ListenAddresses]: ListenAddresses[K];
} {
  return {
    iscsi: config.iscsiPortals,
    nbd: config.nbdListeners,
    nbdClientsVerified: verifiesClients(config.nbdTls),
    listening: false,
  };
}

/** Flags that would show an attached volume to strangers stop the start, before anything listens. */
async function refuseOpenVolumes(store: Store, listen: ListenAddresses): Promise<void> {
  const { items } = await store.list('volume');
  for (const { value: volume } of items.filter((item) => item.value.desired.attached)) {
    for (const frontend of volume.desired.frontends) {
      const refusal = refusalToExport(volume, frontend, listen);
      if (refusal !== null) throw refusal;
    }
  }
}

/** Listens, and writes the addresses in use into `listen`. */
async function listenAll(
  engine: EngineHost,
  config: AgentConfig,
  listen: ReturnType<typeof wantedAddresses>,
): Promise<void> {
  const { discoveryChap: chap } = config;
  if (chap !== null) {
    const mutual =
      chap.mutualUser !== undefined && chap.mutualSecret !== undefined
        ? { user: chap.mutualUser, secret: chap.mutualSecret }
        : null;
    await engine.setDiscoveryAuth({ user: chap.user, secret: chap.secret }, mutual);
  }
  const iscsi: string[] = [];
  const nbd: string[] = [];
  for (const portal of config.iscsiPortals) {
    iscsi.push(await namingFlag('--iscsi-portal', portal, engine.listenIscsi(portal)));
  }
  for (const address of config.nbdListeners) {
    const used = engine.listenNbd(address, address.startsWith('unix:') ? null : config.nbdTls);
    nbd.push(await namingFlag('--nbd-listen', address, used));
  }
  listen.iscsi = iscsi;
  listen.nbd = nbd;
  listen.listening = true;
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
