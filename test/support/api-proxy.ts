/** Between a client and the agent's socket: lets a test strike before, during or after a request that changes something. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { once } from 'node:events';

export const MOMENTS = ['before', 'during', 'after'] as const;
export type Moment = (typeof MOMENTS)[number];

interface Trap {
  /** Changing requests until it strikes: 1 is the next. */
  left: number;
  moment: Moment;
  strike: () => Promise<void>;
}

export class ApiProxy {
  readonly #server = createServer((from, to) => void this.#pass(from, to));
  #trap: Trap | null = null;
  #striking: Promise<void> | null = null;

  constructor(private readonly agentSocket: string) {}

  async listen(socketPath: string): Promise<void> {
    this.#server.listen(socketPath);
    await once(this.#server, 'listening');
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  set(trap: Trap): void {
    this.#trap = trap;
    this.#striking = null;
  }

  /** Whether it has struck since it was set; resolves when the blow is over. */
  async struck(): Promise<boolean> {
    this.#trap = null;
    if (this.#striking === null) return false;
    await this.#striking;
    return true;
  }

  async #pass(from: IncomingMessage, to: ServerResponse): Promise<void> {
    const body: Buffer[] = [];
    for await (const bytes of from) body.push(bytes as Buffer);
    const moment = from.method === 'GET' ? null : this.#countDown();
    if (moment === 'before') {
      await this.#strike();
      to.destroy();
      return;
    }
    const { method, url, headers } = from;
    const forward = request({ socketPath: this.agentSocket, method, path: url, headers });
    forward.on('error', () => to.destroy());
    forward.end(Buffer.concat(body));
    if (moment === 'during') {
      await once(forward, 'finish').catch(() => undefined);
      await this.#strike();
    }
    const answered = (await once(forward, 'response').catch(() => null)) as
      [IncomingMessage] | null;
    if (answered === null) return;
    const [answer] = answered;
    if (moment === 'after') {
      await this.#strike();
      to.destroy();
      return;
    }
    to.writeHead(answer.statusCode ?? 500, answer.headers);
    answer.on('error', () => to.destroy());
    answer.pipe(to);
  }

  #countDown(): Moment | null {
    const trap = this.#trap;
    if (trap === null || this.#striking !== null) return null;
    trap.left -= 1;
    return trap.left === 0 ? trap.moment : null;
  }

  #strike(): Promise<void> {
    this.#striking = this.#trap?.strike() ?? Promise.resolve();
    return this.#striking;
  }
}
