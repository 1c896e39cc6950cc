/** An HTTP server on a UNIX socket that answers like an agent what a test tells it to. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SeenRequest {
  /** "POST /v1/volumes" */
  line: string;
  body: unknown;
}

/** A value is answered as JSON with 200, an error with its status; a function answers by itself. */
export type Answer =
  | { status?: number; body?: unknown }
  | ((request: IncomingMessage, response: ServerResponse) => void);

export class FakeAgent {
  readonly seen: SeenRequest[] = [];
  readonly #answers = new Map<string, Answer>();
  readonly #server = createServer((request, response) => void this.#answer(request, response));

  private constructor(
    readonly directory: string,
    readonly socketPath: string,
  ) {}

  static async start(): Promise<FakeAgent> {
    const directory = await mkdtemp(join(tmpdir(), 'aurochs-fake-agent-'));
    const agent = new FakeAgent(directory, join(directory, 'api.sock'));
    agent.#server.listen(agent.socketPath);
    await once(agent.#server, 'listening');
    return agent;
  }

  /** `line` is "GET /v1/volumes", with the query when there is one. */
  on(line: string, answer: Answer): this {
    this.#answers.set(line, answer);
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
    await rm(this.directory, { recursive: true, force: true });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const line = `${request.method} ${request.url}`;
    this.seen.push({ line, body: text === '' ? null : JSON.parse(text) });
    const answer = this.#answers.get(line);
    if (typeof answer === 'function') {
      answer(request, response);
      return;
    }
    const missing = { status: 404, body: errorBody('NOT_FOUND', `nothing at ${line}`) };
    const { status = 200, body } = answer ?? missing;
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  }
}

export function errorBody(code: string, message: string, hint?: string): unknown {
  return { error: { code, message, ...(hint === undefined ? {} : { hint }) } };
}
