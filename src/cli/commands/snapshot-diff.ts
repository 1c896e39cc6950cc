import type { ApiClient } from '../../api/client.js';
import type { DiffBody } from '../../api/types.js';
import { formatSize } from '../../core/units.js';
import { VOLUME } from '../arguments.js';
import { command } from '../command.js';
import type { Output } from '../output.js';

export const snapshotDiff = command({
  usage: 'diff <volume>',
  describe: 'Show which parts of a volume differ between two snapshots, or a snapshot and now',
  examples: [
    ['$0 snapshot diff db --from before-upgrade', 'what changed since then'],
    ['$0 snapshot diff db --from mon --to tue --summary', 'how much, in one line'],
    ['$0 snapshot diff db --to mon -o json', 'all that the snapshot holds'],
  ],
  positionals: { volume: VOLUME },
  options: {
    from: {
      type: 'string',
      default: '',
      describe: 'Older snapshot; without it everything that is there counts as changed',
      defaultDescription: 'an empty volume',
    },
    to: {
      type: 'string',
      default: '',
      describe: 'Newer snapshot',
      defaultDescription: 'what the volume holds now',
    },
    summary: { type: 'boolean', default: false, describe: 'Only count' },
  },
  run: async ({ args, api, output }) => {
    if (args.summary) await printSummary(args, api, output);
    else if (output.format === 'json') await streamJson(args, api, output);
    else await streamTable(args, api, output);
  },
});

interface DiffArguments {
  volume: string;
  from: string;
  to: string;
}

type Run = DiffBody['runs'][number];

async function* runsOf(args: DiffArguments, api: ApiClient): AsyncGenerator<Run> {
  for await (const page of api.diff(args.volume, args.from, args.to)) yield* page.runs;
}

async function printSummary(args: DiffArguments, api: ApiClient, output: Output): Promise<void> {
  const bytes = { data: 0n, hole: 0n };
  let runs = 0;
  for await (const run of runsOf(args, api)) {
    bytes[run.state] += BigInt(run.lengthBytes);
    runs += 1;
  }
  output.record({ runs, dataBytes: String(bytes.data), holeBytes: String(bytes.hole) }, [
    ['runs', String(runs)],
    ['data', `${formatSize(bytes.data)} (${bytes.data} bytes)`],
    ['holes', `${formatSize(bytes.hole)} (${bytes.hole} bytes)`],
  ]);
}

/** A diff may have millions of runs: each is printed as it comes, in columns of a fixed width. */
async function streamTable(args: DiffArguments, api: ApiClient, output: Output): Promise<void> {
  const line = (offset: string, length: string, size: string, state: string): void =>
    output.line(`${offset.padStart(16)}  ${length.padStart(16)}  ${size.padStart(9)}  ${state}`);
  let empty = true;
  for await (const { offsetBytes, lengthBytes, state } of runsOf(args, api)) {
    if (empty) line('OFFSET', 'LENGTH', 'SIZE', 'STATE');
    empty = false;
    line(offsetBytes, lengthBytes, formatSize(BigInt(lengthBytes)), state);
    await output.drained();
  }
  if (empty) output.line('No difference.');
}

/** One array, an element a line, so that it can be read as it comes too. */
async function streamJson(args: DiffArguments, api: ApiClient, output: Output): Promise<void> {
  let previous: string | null = null;
  for await (const run of runsOf(args, api)) {
    output.line(previous === null ? '[' : `${previous},`);
    previous = `  ${JSON.stringify(run)}`;
    await output.drained();
  }
  output.line(previous === null ? '[]' : `${previous}\n]`);
}
