/** How many calls there were, how they ended and how long they took, in the text form of Prometheus. */
import { status } from '@grpc/grpc-js';

/** From a look into the store to a copy of a volume. */
const BUCKETS_S = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100] as const;

interface Durations {
  /** Calls that took at most as long as the bucket of the same index says. */
  counts: number[];
  count: number;
  sumS: number;
}

export class CallMetrics {
  readonly #ends = new Map<string, number>(); // By method and code, as labels.
  readonly #durations = new Map<string, Durations>(); // By method.
  #running = 0;

  begin(): void {
    this.#running += 1;
  }

  end(method: string, code: status, durationMs: number): void {
    this.#running -= 1;
    const labels = `method="${method}",code="${status[code]}"`;
    this.#ends.set(labels, (this.#ends.get(labels) ?? 0) + 1);
    const empty = { counts: BUCKETS_S.map(() => 0), count: 0, sumS: 0 };
    const durations = this.#durations.get(method) ?? empty;
    this.#durations.set(method, durations);
    durations.count += 1;
    durations.sumS += durationMs / 1000;
    BUCKETS_S.forEach((bucketS, i) => {
      if (durationMs / 1000 <= bucketS) durations.counts[i] = (durations.counts[i] ?? 0) + 1;
    });
  }

  /** Text exposition format 0.0.4. */
  text(): string {
    return [
      '# HELP aurochs_csi_calls_total CSI calls that have ended, by gRPC code.',
      '# TYPE aurochs_csi_calls_total counter',
      ...[...this.#ends].map(([labels, count]) => `aurochs_csi_calls_total{${labels}} ${count}`),
      '# HELP aurochs_csi_calls_running CSI calls that have not ended.',
      '# TYPE aurochs_csi_calls_running gauge',
      `aurochs_csi_calls_running ${this.#running}`,
      '# HELP aurochs_csi_call_duration_seconds How long CSI calls took.',
      '# TYPE aurochs_csi_call_duration_seconds histogram',
      ...[...this.#durations].flatMap(([method, durations]) => histogram(method, durations)),
      '',
    ].join('\n');
  }
}

function histogram(method: string, { counts, count, sumS }: Durations): string[] {
  const name = 'aurochs_csi_call_duration_seconds';
  const bucket = (le: string, value: number): string =>
    `${name}_bucket{method="${method}",le="${le}"} ${value}`;
  return [
    ...BUCKETS_S.map((bucketS, i) => bucket(String(bucketS), counts[i] ?? 0)),
    bucket('+Inf', count),
    `${name}_sum{method="${method}"} ${sumS}`,
    `${name}_count{method="${method}"} ${count}`,
  ];
}
