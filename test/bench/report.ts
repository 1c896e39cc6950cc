/** The tables: one for a terminal with every server, one in Markdown for the README. */
import Table from 'cli-table3';
import { type Row } from './measure.js';

export interface Report {
  date: string;
  machine: string;
  rounds: number;
  seconds: number;
  rows: Row[];
}

const number = (value: number | null, digits: number) => value?.toFixed(digits) ?? '';
const goals = (sign: string, values: (number | null)[]) => {
  const given = values.filter((value) => value !== null);
  return given.length === 0 ? '' : `${sign} ${given.join(', ')}`;
};
const rate = (row: Row) => Math.round(row.perSecond).toLocaleString('en');

export function headline({ date, machine, rounds, seconds }: Report): string {
  return `${date}, ${machine}, median of ${rounds} rounds of ${seconds} s`;
}

export function terminalTable(rows: Row[]): string {
  const rateHead = ['requests/s', '× peer', 'goal'];
  const timeHead = ['µs/request', 'goal', '× peer', 'goal'];
  const latencyHead = ['p50 µs', 'p99 µs', 'p99 : peer’s p50', 'goal'];
  const table = new Table({
    head: ['server', ...rateHead, ...timeHead, ...latencyHead],
    style: { head: [], border: [] },
  });
  let workload = '';
  for (const row of rows) {
    if (row.workload !== workload) table.push([{ content: row.workload, colSpan: 12 }]);
    workload = row.workload;
    table.push([
      row.subject,
      rate(row),
      number(row.rateRatio, 2),
      goals('≥', row.rateGoals),
      number(row.processorTimeUs, 1),
      goals('≤', [row.timeGoalUs]),
      number(row.timeRatio, 2),
      goals('≤', row.shareGoals),
      number(row.p50Us, 0),
      number(row.p99Us, 0),
      number(row.latencyRatio, 2),
      goals('≤', [row.latencyGoal]),
    ]);
  }
  return table.toString();
}

/** Ours beside the peer, one line for each workload. */
export function markdownTable(report: Report): string {
  const lines = [
    '| 4 KiB and more, page cache | Aurochs, requests/s | peer | ratio | goal | Aurochs, µs of processor time | peer | ratio | goal | Aurochs, p99 µs | peer, p50 µs |',
    `|${'---|'.repeat(11)}`,
  ];
  for (const workload of new Set(report.rows.map((row) => row.workload))) {
    const rows = report.rows.filter((row) => row.workload === workload);
    const ours = rows[0];
    const peer = rows.at(-1);
    if (ours === undefined || peer === undefined) continue;
    const timeGoals = [
      goals('≤', ours.shareGoals),
      ours.timeGoalUs === null ? '' : `≤ ${ours.timeGoalUs} µs`,
    ];
    const cells = [
      workload,
      rate(ours),
      rate(peer),
      number(ours.rateRatio, 2),
      goals('≥', ours.rateGoals),
      number(ours.processorTimeUs, 1),
      number(peer.processorTimeUs, 1),
      number(ours.timeRatio, 2),
      timeGoals.filter((goal) => goal !== '').join('; '),
      number(ours.p99Us, 0),
      number(peer.p50Us, 0),
    ];
    lines.push(`| ${cells.join(' | ')} |`);
  }
  return `${lines.join('\n')}\n\n${headline(report)}.\n`;
}
