/**
 * `npm run bench [-- --json FILE --markdown FILE --seconds N --rounds N --only TEXT --profile FILE]`
 *
 * Every workload runs against each server in turn, round after round, so that a drift of the
 * machine meets all alike; the median of the rounds counts. All volumes hold written data in the
 * page cache, and all servers acknowledge writes from there.
 *
 * With `--profile` the workload that `--only` names is not compared: it runs against our server
 * alone, and a flame graph of that server is written.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { flameGraph } from './flame-graph.js';
import { measureRows, type Row } from './measure.js';
import { type Server } from './processes.js';
import { recordStacks } from './profile.js';
import { headline, markdownTable, type Report, terminalTable } from './report.js';
import { startSubjects, type Subjects } from './subjects.js';
import { WORKLOADS, type Workload } from './workloads.js';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'string' },
    markdown: { type: 'string' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    profile: { type: 'string' },
  },
});
const seconds = Number(flags.seconds);
const rounds = Number(flags.rounds);

async function compare(workloads: Workload[], subjects: Subjects): Promise<void> {
  const rows: Row[] = [];
  const progress = () => process.stderr.write('.');
  for (const workload of workloads) {
    rows.push(
      ...(await measureRows(workload, subjects[workload.field], { rounds, seconds, progress })),
    );
  }
  process.stderr.write('\n');
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Linux ${release()}`;
  const date = new Date().toISOString().slice(0, 10);
  const report: Report = { date, machine, rounds, seconds, rows };
  console.log(headline(report));
  console.log(terminalTable(rows));
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(report, null, 2)}\n`);
  if (flags.markdown !== undefined) writeFileSync(flags.markdown, markdownTable(report));
}

async function profile(workload: Workload, subjects: Subjects, file: string): Promise<void> {
  const ours = subjects[workload.field][0];
  if (ours === undefined) throw new Error(`nothing serves ${workload.name}`);
  const load = () => Promise.all(ours.uris.map((uri) => workload.load(uri, seconds)));
  await load();
  const stacks = await recordStacks(ours.server.pid, join(scratch, 'perf.data'), load);
  writeFileSync(file, flameGraph(workload.name, stacks));
}

const chosen = WORKLOADS.filter(({ name }) => name.includes(flags.only));
const first = chosen[0];
if (first === undefined) {
  console.error(`error: no workload has "${flags.only}" in its name`);
  console.error(`next: choose from: ${WORKLOADS.map(({ name }) => name).join('; ')}`);
  process.exit(1);
}
const scratch = mkdtempSync(join(tmpdir(), 'aurochs-bench-'));
const started: Server[] = [];
try {
  const subjects = await startSubjects(scratch, started);
  if (flags.profile === undefined) await compare(chosen, subjects);
  else await profile(first, subjects, flags.profile);
} finally {
  for (const server of started) await server.stop();
  rmSync(scratch, { recursive: true, force: true });
}
