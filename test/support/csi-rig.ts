/** The driver on a socket of its own over an agent, with a client and what it has logged. */
import type { LogFields, Logger } from '../../src/core/logger.js';
import type { AgentApi } from '../../src/csi/agent-api.js';
import type { CsiMode } from '../../src/csi/identity-service.js';
import { CsiServer } from '../../src/csi/server.js';
import { CsiClient } from './csi-client.js';
import { Interposer } from './interposer.js';
import { Scratch } from './scratch.js';

export const GIB = 1024n ** 3n;

export const MOUNTED = {
  mount: { fsType: '', mountFlags: [] as string[] },
  accessMode: { mode: 'SINGLE_NODE_WRITER' },
} as const;
export const BLOCK = { block: {}, accessMode: { mode: 'SINGLE_NODE_WRITER' } } as const;

export interface CsiRigOptions {
  mode?: CsiMode;
  nodeId?: string;
}

export class CsiRig {
  readonly lines: string[] = [];

  private constructor(
    readonly scratch: Scratch,
    readonly agent: Interposer,
    readonly server: CsiServer,
    readonly client: CsiClient,
    lines: string[],
  ) {
    this.lines = lines;
  }

  static async start(behind: AgentApi, options: CsiRigOptions = {}): Promise<CsiRig> {
    const scratch = new Scratch();
    const agent = new Interposer(behind);
    const lines: string[] = [];
    const { mode = 'all', nodeId } = options;
    const log = listLogger(lines);
    const server = await CsiServer.create({
      agent: agent.api,
      health: agent.api,
      mode,
      nodeId,
      version: '1.2.3',
      log,
    });
    const socketPath = scratch.file('csi.sock');
    await server.listen(socketPath);
    return new CsiRig(scratch, agent, server, new CsiClient(socketPath), lines);
  }

  async stop(): Promise<void> {
    this.client.close();
    await this.server.close();
    this.scratch.remove();
  }

  /** A volume as a CO makes it; its id. */
  async volume(name: string, more: object = {}): Promise<string> {
    const { volume } = await this.client.call('CreateVolume', {
      name,
      volumeCapabilities: [MOUNTED],
      ...more,
    });
    return volume.volumeId as string;
  }

  async snapshot(sourceVolumeId: string, name: string): Promise<string> {
    const { snapshot } = await this.client.call('CreateSnapshot', { sourceVolumeId, name });
    return snapshot.snapshotId as string;
  }
}

function listLogger(lines: string[]): Logger {
  const write =
    (level: string) =>
    (message: string, fields: LogFields = {}): void => {
      lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
    };
  const [debug, info, warn, error] = ['debug', 'info', 'warn', 'error'].map(write) as [
    Logger['debug'],
    Logger['info'],
    Logger['warn'],
    Logger['error'],
  ];
  const log: Logger = { debug, info, warn, error, child: () => log };
  return log;
}
