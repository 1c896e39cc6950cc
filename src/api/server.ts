/**
 * The REST API of one agent on a UNIX socket that only the agent's user may open.
 *
 * Every request is checked by a schema before a route sees it; every error leaves as `{error: {code,
 * message, hint?}}` and never with a stack trace. Only this folder knows fastify.
 */
import { chmod } from 'node:fs/promises';
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type InjectOptions,
  type LightMyRequestResponse,
} from 'fastify';
import { AurochsError, type ErrorCode } from '../core/errors.js';
import {
  API_BODY_BYTES_MAX,
  API_CONNECTIONS_MAX,
  API_PARAM_CHARS_MAX,
  API_REQUEST_TIMEOUT_MS,
} from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import { HTTP_STATUS } from './http-status.js';
import { OpenApiDocument } from './openapi.js';
import { agentRoutes } from './routes/agent.js';
import type { RouteDeps } from './routes/deps.js';
import { diskRoutes } from './routes/disks.js';
import { groupRoutes } from './routes/groups.js';
import { mountRoutes } from './routes/mounts.js';
import { nodeRoutes } from './routes/nodes.js';
import { snapshotRoutes } from './routes/snapshots.js';
import { stagingRoutes } from './routes/staging.js';
import { volumeRoutes } from './routes/volumes.js';
import { compilersFactory } from './schema-compilers.js';
import { COMPONENTS } from './schemas.js';
import type { ErrorBody } from './types.js';

export interface ApiServerDeps extends RouteDeps {
  log: Logger;
}

const SOCKET_MODE = 0o600;

export class ApiServer {
  readonly #app: FastifyInstance;

  constructor(private readonly deps: ApiServerDeps) {
    this.#app = createApp(deps);
  }

  /** BUSY and PERMISSION_DENIED name the socket. The caller has removed a stale one. */
  async listen(socketPath: string): Promise<void> {
    await this.#app.ready();
    const umaskBefore = process.umask(0o177); // There is no moment at which others may connect.
    try {
      await this.#app.listen({ path: socketPath });
      await chmod(socketPath, SOCKET_MODE);
    } catch (error) {
      throw listenError(error, socketPath);
    } finally {
      process.umask(umaskBefore);
    }
    this.#app.server.maxConnections = API_CONNECTIONS_MAX;
  }

  /** No new requests; waits for those that are being answered. */
  async close(): Promise<void> {
    this.deps.events.close();
    await this.#app.close();
  }

  /** For tests: a request without a socket. */
  inject(request: InjectOptions): Promise<LightMyRequestResponse> {
    return this.#app.inject(request);
  }
}

/** Without the compilers, as a test has it, every schema is compiled before it is ready. */
export function createApp(
  deps: ApiServerDeps,
  schemaController: { compilersFactory?: typeof compilersFactory } = { compilersFactory },
): FastifyInstance {
  const app = Fastify({
    logger: false,
    bodyLimit: API_BODY_BYTES_MAX,
    requestTimeout: API_REQUEST_TIMEOUT_MS,
    routerOptions: { maxParamLength: API_PARAM_CHARS_MAX },
    exposeHeadRoutes: false,
    forceCloseConnections: 'idle',
    schemaController,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allErrors: false } },
    // What fails before a route is found: a path that is too long or badly encoded.
    frameworkErrors: (error, request, reply) => {
      sendError(deps.log, reply, error, request.method);
    },
    // Bytes that are no HTTP: answer in the form of every error, close, and let nobody else notice.
    clientErrorHandler: (_error, socket) => {
      const body = JSON.stringify(errorBody('INVALID_ARGUMENT', 'this is not an HTTP request'));
      const head = `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`;
      if (socket.writable) socket.end(head + body);
      else socket.destroy();
    },
  });
  for (const [id, schema] of Object.entries(COMPONENTS)) app.addSchema({ $id: id, ...schema });
  acceptEmptyBodies(app);
  const document = new OpenApiDocument();
  app.addHook('onRoute', (route) => document.add(route));
  app.setErrorHandler((error: FastifyError, request, reply) => {
    sendError(deps.log, reply, error, `${request.method} ${request.url}`);
  });
  app.setNotFoundHandler((request, reply) => {
    const what = `${request.method} ${request.url.slice(0, 200)}`;
    const body = errorBody('NOT_FOUND', `there is no ${what}`, 'See GET /v1/openapi.json.');
    void reply.status(404).send(body);
  });
  volumeRoutes(app, deps);
  mountRoutes(app, deps);
  stagingRoutes(app, deps);
  snapshotRoutes(app, deps);
  groupRoutes(app, deps);
  diskRoutes(app, deps);
  nodeRoutes(app, deps);
  agentRoutes(app, deps, document);
  return app;
}

/** An empty body with a JSON content type is no body; clients send that. */
function acceptEmptyBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined);
    else void parse(request, body as string, done);
  });
}

function errorBody(code: ErrorCode, message: string, hint?: string): ErrorBody {
  return { error: { code, message, ...(hint === undefined ? {} : { hint }) } };
}

function sendError(log: Logger, reply: FastifyReply, error: FastifyError, request: string): void {
  const thrown: unknown = error;
  if (thrown instanceof AurochsError && thrown.code !== 'INTERNAL') {
    const { code, message, hint } = thrown;
    void reply.status(HTTP_STATUS[code]).send(errorBody(code, message, hint));
    return;
  }
  const status = error.statusCode ?? 500;
  if (status >= 400 && status < 500) {
    const code: ErrorCode = status === 413 ? 'LIMIT_EXCEEDED' : 'INVALID_ARGUMENT';
    void reply.status(status).send(errorBody(code, error.message, 'See GET /v1/openapi.json.'));
    return;
  }
  log.error('a request failed by a fault of ours', {
    request,
    error: error.message,
    stack: error.stack,
  });
  const body = errorBody(
    'INTERNAL',
    'the agent failed to answer by a fault of its own',
    "The agent's log has the details; please report them.",
  );
  void reply.status(500).send(body);
}

function listenError(error: unknown, socketPath: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const options = { cause: error };
  const hint = 'Choose another with --api-socket.';
  switch (code) {
    case 'EADDRINUSE':
      return new AurochsError('BUSY', `API socket ${socketPath} is in use`, hint, options);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new AurochsError(
        'PERMISSION_DENIED',
        `API socket ${socketPath} cannot be created: ${String(code)}`,
        hint,
        options,
      );
    case 'ENOENT':
    case 'ENAMETOOLONG':
    case 'EINVAL':
      return new AurochsError(
        'INVALID_ARGUMENT',
        `API socket ${socketPath} cannot be created: ${String(code)}`,
        'The directory must exist, and the path may have at most 107 characters.',
        options,
      );
    default:
      return error;
  }
}
