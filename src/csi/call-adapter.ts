/**
 * Between grpc-js and the services: what a service throws becomes a status, every call is counted and logged, and who
 * closes the server can wait until the work of all calls has ended, also of those whose callers have gone.
 */
import { once } from 'node:events';
import {
  status,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServerWritableStream,
  type StatusObject,
} from '@grpc/grpc-js';

import { toAurochsError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import { logCall, withoutPrivate } from './call-logger.js';
import { detailsOf, GRPC_STATUS } from './grpc-status.js';
import type { CallMetrics } from './metrics.js';

type Failure = Pick<StatusObject, 'code' | 'details'>;

export class CallAdapter {
  readonly #working = new Set<Promise<unknown>>();

  constructor(
    private readonly log: Logger,
    private readonly metrics: CallMetrics,
  ) {}

  unary<Q extends object, A>(
    method: string,
    work: (request: Q) => Promise<A>,
  ): handleUnaryCall<Q, A> {
    return (call, callback) => {
      const ended = this.#begin(method, call.request);
      const working = Promise.resolve()
        .then(() => work(call.request))
        .then(
          (answer) => {
            ended(null, call.cancelled);
            callback(null, answer);
          },
          (thrown: unknown) => {
            const failure = this.#failureOf(method, thrown, call.request);
            ended(failure, call.cancelled);
            callback(failure);
          },
        );
      this.#track(working);
    };
  }

  streaming<Q extends object, A>(
    method: string,
    work: (request: Q) => AsyncGenerator<A>,
  ): handleServerStreamingCall<Q, A> {
    return (call) => {
      const ended = this.#begin(method, call.request);
      const working = pump(call, work).then(
        () => {
          ended(null, call.cancelled);
          call.end();
        },
        (thrown: unknown) => {
          const failure = this.#failureOf(method, thrown, call.request);
          ended(failure, call.cancelled);
          call.emit('error', failure);
        },
      );
      this.#track(working);
    };
  }

  /** Resolves when no work is going on any more; the caller has seen to it that none begins. */
  async drained(): Promise<void> {
    while (this.#working.size > 0) await Promise.all(this.#working);
  }

  #track(working: Promise<unknown>): void {
    this.#working.add(working);
    void working.finally(() => this.#working.delete(working));
  }

  /** What is returned notes the end. */
  #begin(method: string, request: object): (failure: Failure | null, cancelled: boolean) => void {
    const started = performance.now();
    this.metrics.begin();
    return (failure, cancelled) => {
      const durationMs = Math.round(performance.now() - started);
      const code = failure?.code ?? status.OK;
      this.metrics.end(method, code, durationMs);
      const details = failure === null ? {} : { details: failure.details };
      logCall(this.log, { method, request, code, durationMs, cancelled, ...details });
    };
  }

  #failureOf(method: string, thrown: unknown, request: object): Failure {
    const error = toAurochsError(thrown);
    if (error.code === 'INTERNAL' && thrown instanceof Error) {
      const stack = withoutPrivate(thrown.stack ?? '', request);
      this.log.error('a csi call failed by a fault of ours', { method, stack });
    }
    return {
      code: GRPC_STATUS[error.code],
      details: withoutPrivate(detailsOf(error), request),
    };
  }
}

/** Sends as fast as the caller reads, and stops when it has gone. */
async function pump<Q, A>(
  call: ServerWritableStream<Q, A>,
  work: (request: Q) => AsyncGenerator<A>,
): Promise<void> {
  const gone = new AbortController();
  call.once('cancelled', () => gone.abort());
  call.once('close', () => gone.abort());
  for await (const message of work(call.request)) {
    if (call.cancelled || gone.signal.aborted) return;
    if (call.write(message)) continue;
    try {
      await once(call, 'drain', { signal: gone.signal });
    } catch (error) {
      if (gone.signal.aborted) return;
      throw error;
    }
  }
}
