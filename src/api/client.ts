/**
 * The agent's REST API over its UNIX socket, one method a request. What the agent refuses comes back
 * as the AurochsError that it sent; an agent that does not answer is UNAVAILABLE.
 */
import type { Dispatcher, Pool } from 'undici';

import { AurochsError, ERROR_CODES, type ErrorCode } from '../core/errors.js';
import { readEvents } from './event-reader.js';
import type * as api from './types.js';

export interface ApiClientOptions {
  socketPath: string;
  /** How long an answer may take; attach and detach wait for the data path. */
  answerTimeoutMs?: number;
  /** Requests at a time; more wait for their turn. */
  connectionsMax?: number;
}

const CONNECT_TIMEOUT_MS = 5_000;
/** Longer than the agent's own deadline for a use case, so that it is the agent that says what is slow. */
const ANSWER_TIMEOUT_MS = 90_000;
/** The agent sends a comment every 15 s; three missed ones mean that it is gone. */
const EVENT_SILENCE_MS = 45_000;
/** The longest answer is a list of 10,000 volumes at under 2 KiB each. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** One for an event stream, which keeps its connection, and one for what is asked meanwhile. */
const CONNECTIONS_MAX = 2;

type Method = 'GET' | 'POST' | 'DELETE';

export class ApiClient {
  readonly socketPath: string;
  readonly #answerTimeoutMs: number;
  readonly #connectionsMax: number;
  #pool: Promise<Pool> | null = null;

  /** Does not connect before the first request. */
  constructor(options: ApiClientOptions) {
    this.socketPath = options.socketPath;
    this.#answerTimeoutMs = options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS;
    this.#connectionsMax = options.connectionsMax ?? CONNECTIONS_MAX;
  }

  health(): Promise<api.HealthBody> {
    return this.#call('GET', '/v1/health');
  }

  volumes(): Promise<api.VolumeBody[]> {
    return this.#list('/v1/volumes');
  }

  volume(name: string): Promise<api.VolumeBody> {
    return this.#call('GET', volumePath(name));
  }

  /** The volume's state is "creating" when its copy goes on. */
  createVolume(body: api.VolumeCreateBody): Promise<api.VolumeBody> {
    return this.#call('POST', '/v1/volumes', body);
  }

  /** Its snapshots go with it, unless they are a reason to refuse. */
  deleteVolume(name: string, withSnapshots: 'delete' | 'refuse' = 'delete'): Promise<void> {
    const query = withSnapshots === 'refuse' ? '?withSnapshots=refuse' : '';
    return this.#call('DELETE', `${volumePath(name)}${query}`);
  }

  attachVolume(name: string, body: api.VolumeAttachBody): Promise<api.VolumeBody> {
    return this.#call('POST', `${volumePath(name)}/attach`, body);
  }

  detachVolume(name: string, body: api.VolumeDetachBody): Promise<api.VolumeBody> {
    return this.#call('POST', `${volumePath(name)}/detach`, body);
  }

  mountVolume(name: string, body: api.VolumeMountBody): Promise<api.VolumeBody> {
    return this.#call('POST', `${volumePath(name)}/mount`, body);
  }

  unmountVolume(name: string, body: api.VolumeUnmountBody): Promise<void> {
    return this.#call('POST', `${volumePath(name)}/unmount`, body);
  }

  stageVolume(name: string, body: api.VolumeStageBody): Promise<api.StagedBody> {
    return this.#call('POST', `${volumePath(name)}/stage`, body);
  }

  unstageVolume(name: string, body: api.VolumeUnstageBody): Promise<void> {
    return this.#call('POST', `${volumePath(name)}/unstage`, body);
  }

  bindVolume(name: string, body: api.VolumeBindBody): Promise<void> {
    return this.#call('POST', `${volumePath(name)}/bind`, body);
  }

  unbindVolume(name: string, body: api.VolumeUnbindBody): Promise<void> {
    return this.#call('POST', `${volumePath(name)}/unbind`, body);
  }

  volumeUsage(name: string, path: string): Promise<api.UsageBody> {
    const query = new URLSearchParams({ path });
    return this.#call('GET', `${volumePath(name)}/usage?${query.toString()}`);
  }

  growStaged(name: string, body: api.VolumeGrowBody): Promise<api.GrownBody> {
    return this.#call('POST', `${volumePath(name)}/grow`, body);
  }

  trimVolume(name: string): Promise<api.TrimBody> {
    return this.#call('POST', `${volumePath(name)}/trim`);
  }

  setVolumeAccess(name: string, body: api.VolumeAccessBody): Promise<api.VolumeBody> {
    return this.#call('POST', `${volumePath(name)}/access`, body);
  }

  publishVolume(name: string, body: api.VolumePublishBody): Promise<api.VolumeBody> {
    return this.#call('POST', `${volumePath(name)}/publish`, body);
  }

  unpublishVolume(name: string, body: api.VolumeUnpublishBody): Promise<api.VolumeBody> {
    return this.#call('POST', `${volumePath(name)}/unpublish`, body);
  }

  setVolumeLabels(name: string, body: api.VolumeLabelsBody): Promise<api.VolumeBody> {
    return this.#call('POST', `${volumePath(name)}/labels`, body);
  }

  expandVolume(name: string, body: api.VolumeExpandBody): Promise<api.VolumeBody> {
    return this.#call('POST', `${volumePath(name)}/expand`, body);
  }

  snapshots(volume: string): Promise<api.SnapshotBody[]> {
    return this.#list(`${volumePath(volume)}/snapshots`);
  }

  /** Of all volumes as they were last seen; none is opened for it. */
  snapshotsLastSeen(name: string): Promise<api.SnapshotBody[]> {
    const query = new URLSearchParams({ name });
    return this.#list(`/v1/snapshots?${query.toString()}`);
  }

  snapshot(volume: string, snapshot: string): Promise<api.SnapshotBody> {
    return this.#call('GET', snapshotPath(volume, snapshot));
  }

  createSnapshot(volume: string, body: api.SnapshotCreateBody): Promise<api.SnapshotBody> {
    return this.#call('POST', `${volumePath(volume)}/snapshots`, body);
  }

  deleteSnapshot(volume: string, snapshot: string): Promise<void> {
    return this.#call('DELETE', snapshotPath(volume, snapshot));
  }

  revertSnapshot(volume: string, snapshot: string): Promise<void> {
    return this.#call('POST', `${snapshotPath(volume, snapshot)}/revert`);
  }

  snapshotGroups(): Promise<api.SnapshotGroupBody[]> {
    return this.#list('/v1/snapshot-groups');
  }

  snapshotGroup(group: string): Promise<api.SnapshotGroupBody> {
    return this.#call('GET', groupPath(group));
  }

  createSnapshotGroup(body: api.SnapshotGroupCreateBody): Promise<api.SnapshotGroupBody> {
    return this.#call('POST', '/v1/snapshot-groups', body);
  }

  deleteSnapshotGroup(group: string): Promise<void> {
    return this.#call('DELETE', groupPath(group));
  }

  /** One page; `from` empty: everything, `to` empty: the head. */
  diffPage(volume: string, from: string, to: string, offsetBytes: string): Promise<api.DiffBody> {
    const query = new URLSearchParams({ from, to, offset: offsetBytes });
    return this.#call('GET', `${volumePath(volume)}/diff?${query.toString()}`);
  }

  /** All pages, one after the other. */
  async *diff(volume: string, from: string, to: string): AsyncGenerator<api.DiffBody> {
    let offset: string | null = '0';
    while (offset !== null) {
      const page: api.DiffBody = await this.diffPage(volume, from, to, offset);
      yield page;
      offset = page.nextOffsetBytes;
    }
  }

  disks(): Promise<api.DiskBody[]> {
    return this.#list('/v1/disks');
  }

  addDisk(body: api.DiskAddBody): Promise<api.DiskBody> {
    return this.#call('POST', '/v1/disks', body);
  }

  removeDisk(id: string): Promise<void> {
    return this.#call('DELETE', diskPath(id));
  }

  setDiskTags(id: string, body: api.DiskTagsBody): Promise<api.DiskBody> {
    return this.#call('POST', `${diskPath(id)}/tags`, body);
  }

  nodes(): Promise<api.NodeBody[]> {
    return this.#list('/v1/nodes');
  }

  sessions(): Promise<api.SessionBody[]> {
    return this.#list('/v1/sessions');
  }

  doctor(): Promise<api.DoctorFinding[]> {
    return this.#list('/v1/doctor');
  }

  /**
   * Resolves when the agent has begun to deliver: what happens after that is in the stream, which
   * ends when the agent stops or `signal` is aborted.
   */
  async events(signal: AbortSignal): Promise<AsyncGenerator<api.EventBody>> {
    const answer = await this.#send('GET', '/v1/events', {
      signal,
      headers: { accept: 'text/event-stream' },
      bodyTimeout: EVENT_SILENCE_MS,
    });
    return eventsOf(answer.body, signal, (error) => this.#asAurochsError(error));
  }

  /** Ends the connections at once, also under an event stream. */
  async close(): Promise<void> {
    await (await this.#pool)?.destroy();
  }

  /** Loaded with the first request: it takes as long as all else that a command line needs. */
  async #connections(): Promise<Pool> {
    const { Pool } = await import('undici');
    return new Pool('http://localhost', {
      connections: this.#connectionsMax,
      socketPath: this.socketPath,
      connectTimeout: CONNECT_TIMEOUT_MS,
      maxResponseSize: ANSWER_BYTES_MAX,
    });
  }

  async #list<T>(path: string): Promise<T[]> {
    return (await this.#call<api.ListBody<T>>('GET', path)).items;
  }

  async #call<T>(method: Method, path: string, body?: object): Promise<T> {
    const sent =
      body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
    const answer = await this.#send(method, path, { ...sent, bodyTimeout: this.#answerTimeoutMs });
    try {
      const text = await answer.body.text();
      return (text === '' ? undefined : JSON.parse(text)) as T;
    } catch (error) {
      throw this.#asAurochsError(error);
    }
  }

  async #send(
    method: Method,
    path: string,
    options: Partial<Dispatcher.RequestOptions>,
  ): Promise<Dispatcher.ResponseData> {
    let answer: Dispatcher.ResponseData;
    try {
      const headersTimeout = this.#answerTimeoutMs;
      this.#pool ??= this.#connections();
      const pool = await this.#pool;
      answer = await pool.request({ headersTimeout, ...options, method, path });
      if (answer.statusCode < 400) return answer;
      throw refusal(answer.statusCode, await answer.body.text());
    } catch (error) {
      throw this.#asAurochsError(error);
    }
  }

  #asAurochsError(error: unknown): AurochsError {
    if (error instanceof AurochsError) return error;
    const { code } = error as { code?: string };
    const cause = { cause: error };
    if (code === 'EACCES' || code === 'EPERM') {
      const message = `this user may not use the agent's socket ${this.socketPath}`;
      const hint =
        'Use sudo. An agent with --api-socket-group lets the members of a group in, too.';
      return new AurochsError('PERMISSION_DENIED', message, hint, cause);
    }
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTSOCK') {
      const message = `no agent answers at ${this.socketPath}`;
      return new AurochsError('UNAVAILABLE', message, START_HINT, cause);
    }
    if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
      const message = `the agent at ${this.socketPath} did not answer in time`;
      return new AurochsError('UNAVAILABLE', message, 'See its log for what it waits for.', cause);
    }
    if (error instanceof SyntaxError || (error as Error).name === 'HTTPParserError') {
      const message = `what answers at ${this.socketPath} is not an agent`;
      return new AurochsError('UNAVAILABLE', message, START_HINT, cause);
    }
    const message = `the connection to the agent at ${this.socketPath} failed: ${(error as Error).message}`;
    return new AurochsError('UNAVAILABLE', message, 'See its log for why it ended.', cause);
  }
}

const START_HINT =
  'Start one with "aurochs agent", or name the socket of a running one with --api-socket or AUROCHS_API_SOCKET.';

async function* eventsOf(
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  translate: (error: unknown) => AurochsError,
): AsyncGenerator<api.EventBody> {
  try {
    for await (const { data } of readEvents(body)) yield JSON.parse(data) as api.EventBody;
  } catch (error) {
    if (!signal.aborted) throw translate(error);
  }
}

function refusal(status: number, text: string): AurochsError {
  try {
    const { error } = JSON.parse(text) as api.ErrorBody;
    if (typeof error.message === 'string') {
      return new AurochsError(knownCode(error.code), error.message, error.hint);
    }
  } catch {
    // Not one of our answers; what follows says so.
  }
  return new AurochsError('INTERNAL', `the agent answered with HTTP status ${status}`);
}

/** A newer agent may know codes that we do not. */
function knownCode(code: ErrorCode): ErrorCode {
  return ERROR_CODES.includes(code) ? code : 'INTERNAL';
}

function volumePath(name: string): string {
  return `/v1/volumes/${encodeURIComponent(name)}`;
}

function groupPath(group: string): string {
  return `/v1/snapshot-groups/${encodeURIComponent(group)}`;
}

function diskPath(id: string): string {
  return `/v1/disks/${encodeURIComponent(id)}`;
}

function snapshotPath(volume: string, snapshot: string): string {
  return `${volumePath(volume)}/snapshots/${encodeURIComponent(snapshot)}`;
}
