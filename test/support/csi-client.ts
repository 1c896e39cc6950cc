/** A CO as the driver sees it: calls over the driver's socket. */
import { promisify } from 'node:util';
import type { Client } from '@grpc/grpc-js';
import {
  credentials,
  makeClientConstructor,
  type CallOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  Metadata,
  type requestCallback,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import type {
  ControllerCalls,
  GroupControllerCalls,
  IdentityCalls,
  NodeCalls,
  SnapshotMetadataCalls,
} from '../../src/csi/calls.js';
import { serviceDefinition, SERVICES, type ServiceName } from '../../src/csi/definition.js';

type AllCalls = IdentityCalls & ControllerCalls & NodeCalls & GroupControllerCalls;
type Requests = { [M in keyof AllCalls]: Partial<Parameters<AllCalls[M]>[0]> };
type Loose<T> = T extends (infer E)[]
  ? Loose<E>[]
  : T extends object
    ? { [K in keyof T]?: Loose<T[K]> }
    : T;

type UnaryMethod = (
  request: object,
  metadata: Metadata,
  options: CallOptions,
  callback: requestCallback<object>,
) => ClientUnaryCall;

export class CsiClient {
  readonly #clients = new Map<ServiceName, Client>();

  constructor(socketPath: string) {
    for (const service of SERVICES) {
      const Stub = makeClientConstructor(serviceDefinition(service), service);
      this.#clients.set(service, new Stub(`unix:${socketPath}`, credentials.createInsecure()));
    }
  }

  /** Rejects with a ServiceError, which has a code. */
  // The answer is what a test asserts on; a wrong shape fails the assertion.

  call<M extends keyof AllCalls>(
    method: M,
    request: Loose<Requests[M]>,
    options: CallOptions = {},
  ) {
    // eslint-disable-next-line @typescript-eslint/no-explicit-any
    return promisify((callback: (error: ServiceError | null, answer?: any) => void) => {
      this.begin(method, request, options, callback);
    })();
  }

  /** As call, for a call that is to be cancelled. */
  begin<M extends keyof AllCalls>(
    method: M,
    request: Loose<Requests[M]>,
    options: CallOptions,
    callback: requestCallback<object>,
  ): ClientUnaryCall {
    return this.#method<UnaryMethod>(method)(request, new Metadata(), options, callback);
  }

  stream<M extends keyof SnapshotMetadataCalls>(
    method: M,
    request: Partial<Parameters<SnapshotMetadataCalls[M]>[0]>,
    // eslint-disable-next-line @typescript-eslint/no-explicit-any
  ): ClientReadableStream<any> {
    return this.#method<(request: object) => ClientReadableStream<object>>(method)(request);
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }

  #method<F>(name: string): F {
    for (const client of this.#clients.values()) {
      const method = (client as unknown as Record<string, unknown>)[name];
      if (typeof method === 'function') return method.bind(client) as F;
    }
    throw new Error(`there is no call ${name}`);
  }
}

/** For assert.rejects. */
export function withCode(code: keyof typeof status, details = /./) {
  return (error: unknown): boolean => {
    const { code: actual, details: text } = error as ServiceError;
    if (actual === status[code] && details.test(text)) return true;
    throw new Error(`expected ${code} ${String(details)}, got ${status[actual]}: ${text}`);
  };
}

/** What passes by itself: a CO repeats the call for it. */
const PASSING: readonly status[] = [
  status.ABORTED,
  status.UNAVAILABLE,
  status.CANCELLED,
  status.UNKNOWN,
];

export interface Patience {
  /** Further errors that pass, by their text. */
  also?: RegExp;
  everyMs: number;
  timeoutMs: number;
}

/** Repeats a call as a CO does. */
export async function repeated<T>(
  call: () => Promise<T>,
  { also, everyMs, timeoutMs }: Patience,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const { code, details } = error as ServiceError;
      const passes = PASSING.includes(code) || also?.test(details) === true;
      if (!passes || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }
}
