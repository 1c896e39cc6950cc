/**
 * The driver: the services of one mode on a UNIX socket that only its user may open. It remembers nothing: every call
 * becomes requests to the agent, and whatever a killed driver has left is the agent's to know.
 */
import { chmod } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { Server, ServerCredentials, type UntypedServiceImplementation } from '@grpc/grpc-js';

import type { NodeBody } from '../api/types.js';
import { AurochsError } from '../core/errors.js';
import { CSI_DRAIN_MS, CSI_SOCKET_PATH_CHARS_MAX } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import type { AgentApi } from './agent-api.js';
import { CallAdapter } from './call-adapter.js';
import { controllerService } from './controller-service.js';
import { serviceDefinition, type ServiceName } from './definition.js';
import { groupControllerService } from './group-controller-service.js';
import { type CsiMode, identityService } from './identity-service.js';
import { CallMetrics } from './metrics.js';
import { nodeService } from './node-service.js';
import { snapshotMetadataService } from './snapshot-metadata-service.js';

export interface CsiServerOptions {
  agent: AgentApi;
  /** Asked over a connection of its own, so that a Probe never waits for other calls. */
  health: Pick<AgentApi, 'health'>;
  mode: CsiMode;
  /** Id or name of the agent's node; the only one that the agent knows when absent. */
  nodeId?: string | undefined;
  version: string;
  log: Logger;
}

type Call = (request: object) => Promise<object>;
type StreamingCall = (request: object) => AsyncGenerator<object>;

const SOCKET_MODE = 0o600;

export class CsiServer {
  readonly metrics = new CallMetrics();
  readonly #server = new Server();
  readonly #adapter: CallAdapter;

  private constructor(
    options: CsiServerOptions,
    readonly node: NodeBody,
  ) {
    const { agent, health, mode, version, log } = options;
    this.#adapter = new CallAdapter(log, this.metrics);
    this.#add('Identity', identityService(health, mode, version));
    if (mode !== 'node') {
      this.#add('Controller', controllerService(agent));
      this.#add('GroupController', groupControllerService(agent));
      this.#addStreaming('SnapshotMetadata', snapshotMetadataService(agent));
    }
    if (mode !== 'controller') this.#add('Node', nodeService(agent, node.id));
  }

  /** NOT_FOUND and UNAVAILABLE when the agent does not know the node, or does not answer. */
  static async create(options: CsiServerOptions): Promise<CsiServer> {
    return new CsiServer(options, nodeNamed(await options.agent.nodes(), options.nodeId));
  }

  /** The caller has removed a stale socket. */
  async listen(socketPath: string): Promise<void> {
    const umaskBefore = process.umask(0o177); // There is no moment at which others may connect.
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) =>
          error === null ? resolve() : reject(error),
        );
      });
      await chmod(socketPath, SOCKET_MODE);
    } catch (error) {
      throw listenError(error, socketPath);
    } finally {
      process.umask(umaskBefore);
    }
  }

  /**
   * No new calls; waits for the answers to those that there are, and for work whose callers have gone, but not for ever:
   * the agent ends what was asked of it, and a caller repeats what was not answered.
   */
  async close(): Promise<void> {
    const answered = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    const ended = answered.then(() => this.#adapter.drained());
    const tooLong = new AbortController();
    const deadline = setTimeout(CSI_DRAIN_MS, null, { signal: tooLong.signal }).catch(() => null);
    await Promise.race([ended, deadline]);
    tooLong.abort();
    this.#server.forceShutdown();
  }

  #add(service: ServiceName, calls: object): void {
    const handlers: UntypedServiceImplementation = {};
    for (const [method, call] of Object.entries(calls as Record<string, Call>)) {
      handlers[method] = this.#adapter.unary(method, call);
    }
    this.#server.addService(serviceDefinition(service), handlers);
  }

  #addStreaming(service: ServiceName, calls: object): void {
    const handlers: UntypedServiceImplementation = {};
    for (const [method, call] of Object.entries(calls as Record<string, StreamingCall>)) {
      handlers[method] = this.#adapter.streaming(method, call);
    }
    this.#server.addService(serviceDefinition(service), handlers);
  }
}

function nodeNamed(nodes: readonly NodeBody[], wanted: string | undefined): NodeBody {
  const known = nodes.map(({ id, name }) => `${name} (${id})`).join(', ');
  if (wanted === undefined) {
    const [only] = nodes;
    if (only !== undefined && nodes.length === 1) return only;
    throw new AurochsError(
      'INVALID_ARGUMENT',
      'which node the driver is for cannot be told by itself',
      `Say it with --node-id; the agent knows ${known === '' ? 'none' : known}.`,
    );
  }
  const found = nodes.find(({ id }) => id === wanted) ?? nodes.find(({ name }) => name === wanted);
  if (found !== undefined) return found;
  throw new AurochsError(
    'NOT_FOUND',
    `the agent knows no node ${JSON.stringify(wanted.slice(0, 80))}`,
    `It knows ${known === '' ? 'none' : known}.`,
  );
}

function listenError(error: unknown, socketPath: string): AurochsError {
  const message = `CSI socket ${socketPath} cannot be used: ${(error as Error).message}`;
  const hint = `The directory must exist and be writable, and the path may have at most ${CSI_SOCKET_PATH_CHARS_MAX} characters.`;
  return new AurochsError('INVALID_ARGUMENT', message, hint, { cause: error });
}
