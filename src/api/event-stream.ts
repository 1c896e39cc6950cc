/**
 * Server-sent events: one watch of the store and of the domain, sent on to every client. A client that does
 * not read is cut off once its buffer is full; it connects again and reads the present state.
 */
import type { ServerResponse } from 'node:http';
import type { Clock, Timer } from '../core/clock.js';
import { AurochsError } from '../core/errors.js';
import {
  API_EVENT_BUFFER_BYTES_MAX,
  API_EVENT_PING_MS,
  API_EVENT_STREAMS_MAX,
} from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import type { DomainEvent, DomainEvents } from '../volume/events.js';
import { volumeOfExport } from '../volume/names.js';
import type { Store, Watch } from '../volume/ports.js';
import type { VolumeService } from '../volume/volume-service.js';
import { diskBody, volumeBody } from './bodies.js';
import type { EventBody } from './types.js';

export interface EventStreamDeps {
  store: Store;
  volumes: VolumeService;
  events: DomainEvents;
  version: string;
  clock: Clock;
  log: Logger;
  bufferBytesMax?: number;
}

export class EventStream {
  readonly #clients = new Set<ServerResponse>();
  readonly #diskPaths = new Map<string, string>();
  #watches: Watch[] = [];
  #unsubscribe: () => void = () => {};
  #ping: Timer | null = null;
  #closed = false;

  constructor(private readonly deps: EventStreamDeps) {}

  async start(): Promise<void> {
    this.#unsubscribe = this.deps.events.subscribe((event) => this.#send(bodyOf(event)));
    await this.#watch();
    this.#schedulePing();
  }

  /** Takes over the response. LIMIT_EXCEEDED when enough clients listen. */
  add(response: ServerResponse): void {
    if (this.#clients.size >= API_EVENT_STREAMS_MAX) {
      throw new AurochsError(
        'LIMIT_EXCEEDED',
        `${API_EVENT_STREAMS_MAX} clients listen to events already`,
        'Close one of them.',
      );
    }
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
    });
    this.#clients.add(response);
    response.on('close', () => this.#clients.delete(response));
    response.on('error', () => this.#clients.delete(response));
    this.#write(response, text({ type: 'hello', version: this.deps.version }));
  }

  close(): void {
    this.#closed = true;
    this.#ping?.cancel();
    this.#unsubscribe();
    this.#unwatch();
    this.#dropAll();
  }

  async #watch(): Promise<void> {
    const { store, volumes } = this.deps;
    const disks = await store.list('disk');
    for (const item of disks.items) this.#diskPaths.set(item.key, item.value.path);
    const { revision } = await store.list('volume');
    if (this.#closed) return;
    const lost = (why: string): void => this.#onLost(why);
    const watchVolumes = store.watch(
      'volume',
      revision,
      (event) => {
        if (event.type === 'deleted') {
          this.#send({ type: 'volumeDeleted', name: event.key, id: event.last.id });
          return;
        }
        const volume = event.item.value;
        const body = volumeBody({
          volume,
          exports: volumes.exports(volume),
          allocatedBytes: volumes.allocatedBytes(volume),
          copyShare: volumes.copyShare(volume),
          diskPath: (id) => this.#diskPaths.get(id) ?? '',
          withSecrets: false,
        });
        this.#send({ type: 'volume', volume: body });
      },
      lost,
    );
    const watchDisks = store.watch(
      'disk',
      disks.revision,
      (event) => {
        if (event.type === 'deleted') {
          this.#send({ type: 'diskDeleted', id: event.key });
          return;
        }
        this.#diskPaths.set(event.item.key, event.item.value.path);
        void this.#sendDisk(event.item.key);
      },
      lost,
    );
    this.#watches = [watchVolumes, watchDisks];
  }

  async #sendDisk(id: string): Promise<void> {
    try {
      const disk = await this.deps.store.get('disk', id);
      const { items } = await this.deps.store.list('volume');
      if (disk === null) return;
      const replicas = items.filter((item) =>
        item.value.replicas.some((place) => place.diskId === id),
      );
      this.#send({ type: 'disk', disk: diskBody(disk.value, replicas.length) });
    } catch (error) {
      this.deps.log.warn('an event of a disk was not sent', { disk: id, error: String(error) });
    }
  }

  /** Changes were missed: clients must read everything anew, and they do so when they connect again. */
  #onLost(why: string): void {
    this.deps.log.warn('the event stream starts anew', { why });
    this.#unwatch();
    this.#dropAll();
    this.#watch().catch((error: unknown) => {
      this.deps.log.error('the event stream cannot watch', { error: String(error) });
    });
  }

  #unwatch(): void {
    for (const watch of this.#watches) watch.close();
    this.#watches = [];
  }

  #dropAll(): void {
    for (const client of this.#clients) client.end();
    this.#clients.clear();
  }

  #schedulePing(): void {
    this.#ping = this.deps.clock.after(API_EVENT_PING_MS, () => {
      for (const client of this.#clients) this.#write(client, ': ping\n\n');
      this.#schedulePing();
    });
  }

  #send(event: EventBody): void {
    if (this.#clients.size === 0) return;
    const message = text(event);
    for (const client of this.#clients) this.#write(client, message);
  }

  #write(client: ServerResponse, message: string): void {
    const max = this.deps.bufferBytesMax ?? API_EVENT_BUFFER_BYTES_MAX;
    if (client.writableLength + message.length > max) {
      this.deps.log.warn('a client that does not read its events was cut off');
      this.#clients.delete(client);
      client.destroy();
      return;
    }
    client.write(message);
  }
}

function text(event: EventBody): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

function bodyOf(event: DomainEvent): EventBody {
  if (!('session' in event)) return event;
  const { session } = event;
  return { type: event.type, session: { ...session, volume: volumeOfExport(session.export) } };
}
