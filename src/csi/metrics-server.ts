/** GET /metrics over HTTP, for who collects them; nothing else is to be had here. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';

import type { CallMetrics } from './metrics.js';

export class MetricsServer {
  readonly #server: Server;

  constructor(metrics: CallMetrics) {
    this.#server = createServer((request, response) => {
      if (request.method !== 'GET' || request.url !== '/metrics') {
        response.writeHead(404).end();
        return;
      }
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
      response.end(metrics.text());
    });
  }

  /** Rejects with the system's error. */
  async listen(where: { host: string; port: number } | { path: string }): Promise<void> {
    const umaskBefore = process.umask(0o177); // There is no moment at which others may connect.
    try {
      this.#server.listen(where);
      await once(this.#server, 'listening');
    } finally {
      process.umask(umaskBefore);
    }
  }

  /** The port in use; null over a UNIX socket. */
  get port(): number | null {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : null;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
