/** Runs one workload against its servers in turn and takes the medians. */
import { type Load } from './clients.js';
import { processorTimeUs } from './processes.js';
import { type Subject } from './subjects.js';
import { type Workload } from './workloads.js';

const WARM_UP_SECONDS = 1;

interface Sample {
  perSecond: number;
  timeUs: number;
  p50Us?: number;
  p99Us?: number;
}

/** One line of the result; ratios are to the peer, which is the workload's last row. */
export interface Row {
  workload: string;
  subject: string;
  perSecond: number;
  processorTimeUs: number;
  p50Us: number | null;
  p99Us: number | null;
  rateRatio: number | null;
  timeRatio: number | null;
  /** Our 99th percentile : the peer's median. */
  latencyRatio: number | null;
  rateGoals: number[];
  shareGoals: number[];
  timeGoalUs: number | null;
  latencyGoal: number | null;
}

async function loadAll(workload: Workload, subject: Subject, seconds: number): Promise<Load> {
  const loads = await Promise.all(subject.uris.map((uri) => workload.load(uri, seconds)));
  const most = (key: 'seconds' | 'p50Us' | 'p99Us') => Math.max(...loads.map((l) => l[key] ?? NaN));
  const load: Load = {
    requests: loads.reduce((sum, one) => sum + one.requests, 0),
    seconds: most('seconds'),
  };
  if (!Number.isNaN(most('p50Us'))) Object.assign(load, { p50Us: most('p50Us') });
  if (!Number.isNaN(most('p99Us'))) Object.assign(load, { p99Us: most('p99Us') });
  return load;
}

async function measure(workload: Workload, subject: Subject, seconds: number): Promise<Sample> {
  const before = processorTimeUs(subject.server.pid);
  const end = subject.besides?.();
  const load = await loadAll(workload, subject, seconds).finally(end);
  const used = processorTimeUs(subject.server.pid) - before;
  const sample: Sample = {
    perSecond: load.requests / load.seconds,
    timeUs: used / load.requests,
  };
  if (load.p50Us !== undefined) sample.p50Us = load.p50Us;
  if (load.p99Us !== undefined) sample.p99Us = load.p99Us;
  return sample;
}

function median(numbers: number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** `progress` hears of each sample. */
export async function measureRows(
  workload: Workload,
  subjects: Subject[],
  options: { rounds: number; seconds: number; progress: () => void },
): Promise<Row[]> {
  const samples = new Map<Subject, Sample[]>(subjects.map((subject) => [subject, []]));
  for (const subject of subjects) await loadAll(workload, subject, WARM_UP_SECONDS);
  for (let round = 0; round < options.rounds; ++round) {
    for (const subject of subjects) {
      samples.get(subject)?.push(await measure(workload, subject, options.seconds));
      options.progress();
    }
  }
  const middle = (subject: Subject | undefined, key: keyof Sample): number | null => {
    const all = subject === undefined ? [] : (samples.get(subject) ?? []);
    const value = median(all.map((sample) => sample[key] ?? NaN));
    return Number.isNaN(value) ? null : value;
  };
  const ours = subjects[0];
  const peer = subjects.at(-1);
  const ratio = (above: number | null, below: number | null) =>
    above === null || below === null ? null : above / below;
  return subjects.map((subject) => {
    const toPeer = (key: keyof Sample, peerKey: keyof Sample) =>
      subject === peer ? null : ratio(middle(subject, key), middle(peer, peerKey));
    const isOurs = subject === ours;
    return {
      workload: workload.name,
      subject: subject.name,
      perSecond: middle(subject, 'perSecond') ?? NaN,
      processorTimeUs: middle(subject, 'timeUs') ?? NaN,
      p50Us: middle(subject, 'p50Us'),
      p99Us: middle(subject, 'p99Us'),
      rateRatio: toPeer('perSecond', 'perSecond'),
      timeRatio: toPeer('timeUs', 'timeUs'),
      latencyRatio: toPeer('p99Us', 'p50Us'),
      rateGoals: (isOurs ? workload.rateGoals : undefined) ?? [],
      shareGoals: (isOurs ? workload.shareGoals : undefined) ?? [],
      timeGoalUs: (isOurs ? workload.timeGoalUs : undefined) ?? null,
      latencyGoal: (isOurs ? workload.latencyGoal : undefined) ?? null,
    };
  });
}
