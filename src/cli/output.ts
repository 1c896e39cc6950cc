/** What a command prints: a table for people, JSON for programs. */
import { once } from 'node:events';

import Table from 'cli-table3';

import type { Terminal } from './terminal.js';

export const OUTPUT_FORMATS = ['table', 'json'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** A column has a title and says how a row is shown in it. */
export interface Column<Row> {
  title: string;
  value: (row: Row) => string;
  align?: 'right';
}

const NO_BORDERS = {
  'top': '', 'top-mid': '', 'top-left': '', 'top-right': '',
  'bottom': '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '',
  'left': '', 'left-mid': '', 'mid': '', 'mid-mid': '',
  'right': '', 'right-mid': '', 'middle': '  ',
}; // prettier-ignore

export class Output {
  constructor(
    private readonly terminal: Terminal,
    readonly format: OutputFormat,
  ) {}

  /** One JSON document, or the rows as a table with `empty` in place of a table without rows. */
  list<Row>(rows: readonly Row[], columns: readonly Column<Row>[], empty: string): void {
    if (this.format === 'json') this.json(rows);
    else this.line(rows.length === 0 ? empty : renderTable(rows, columns));
  }

  /** One JSON document, or name and value a line. */
  record(value: unknown, fields: readonly (readonly [string, string])[]): void {
    if (this.format === 'json') {
      this.json(value);
      return;
    }
    const width = Math.max(...fields.map(([name]) => name.length));
    for (const [name, text] of fields) this.line(`${name.padEnd(width)}  ${text}`.trimEnd());
  }

  /** One JSON document, or a sentence. */
  done(value: unknown, sentence: string): void {
    if (this.format === 'json') this.json(value);
    else this.line(sentence);
  }

  json(value: unknown): void {
    this.line(JSON.stringify(value, null, 2));
  }

  line(text: string): void {
    this.terminal.stdout.write(`${text}\n`);
  }

  /** Resolves when what was printed so far no longer piles up in memory. */
  async drained(): Promise<void> {
    if (this.terminal.stdout.writableNeedDrain) await once(this.terminal.stdout, 'drain');
  }

  /** Something for a person that is no result: goes beside the output, never into it. */
  note(text: string): void {
    this.terminal.stderr.write(`${text}\n`);
  }
}

export function renderTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const table = new Table({
    head: columns.map((column) => column.title),
    colAligns: columns.map((column) => column.align ?? 'left'),
    chars: NO_BORDERS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of rows) table.push(columns.map((column) => column.value(row)));
  const lines = table.toString().split('\n');
  return lines.map((line) => line.trimEnd()).join('\n');
}

/** "2026-11-22 18:57:03" in the time zone of the reader. */
export function formatTime(rfc3339: string): string {
  const time = new Date(rfc3339);
  if (Number.isNaN(time.getTime())) return rfc3339;
  const pad = (part: number): string => String(part).padStart(2, '0');
  const day = [time.getFullYear(), pad(time.getMonth() + 1), pad(time.getDate())].join('-');
  return `${day} ${[time.getHours(), time.getMinutes(), time.getSeconds()].map(pad).join(':')}`;
}
