/** The agent's real API on a socket, over the control plane with a fake engine and fake devices. */
import { ApiClient } from '../../src/api/client.js';
import { EventStream } from '../../src/api/event-stream.js';
import { ApiServer } from '../../src/api/server.js';
import { systemClock } from '../../src/core/clock.js';
import { silentLogger } from '../../src/core/logger.js';
import { ControlPlane, type ControlPlaneOptions } from './control-plane.js';
import { Scratch } from './scratch.js';

export class ApiAgent {
  private constructor(
    readonly plane: ControlPlane,
    readonly client: ApiClient,
    private readonly server: ApiServer,
    private readonly scratch: Scratch,
  ) {}

  static async start(options: ControlPlaneOptions = {}): Promise<ApiAgent> {
    const plane = await ControlPlane.started(options);
    const { store, volumes } = plane;
    const common = { version: '0.0.0', clock: systemClock, log: silentLogger };
    const events = new EventStream({ store, volumes, events: plane.events, ...common });
    await events.start();
    const scratch = new Scratch();
    const socketPath = scratch.file('api.sock');
    const server = new ApiServer({
      volumes,
      publications: plane.publications,
      mounts: plane.mounts,
      staging: plane.staging,
      snapshots: plane.snapshots,
      groups: plane.groups,
      nodes: plane.nodes,
      disks: plane.diskService,
      events,
      version: common.version,
      health: async () => ({
        state: 'ready',
        version: common.version,
        pid: process.pid,
        uptimeMs: 1,
        ioBackend: 'epoll',
        dataDir: scratch.path,
        addresses: { iscsi: [], nbd: [], api: socketPath },
        volumes: { total: 0, attached: 0, faulted: 0 },
      }),
      doctor: async () => [],
      log: silentLogger,
    });
    await server.listen(socketPath);
    const client = new ApiClient({ socketPath, connectionsMax: 8 });
    return new ApiAgent(plane, client, server, scratch);
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.server.close();
    await this.plane.stop();
    this.scratch.remove();
  }
}
