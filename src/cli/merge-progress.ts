/** How far the merge of a removed snapshot is: a bar on a terminal, a line every now and then else. */
import { Presets, SingleBar } from 'cli-progress';

import type { Terminal } from './terminal.js';

/** Plain lines come this far apart, so that a log of a long merge stays short. */
const LINE_STEP_PERCENT = 10;

export interface MergeProgress {
  /** `share` is between 0 and 1. */
  update(share: number): void;
  /** Leaves the terminal in order, also after an error. */
  stop(): void;
}

export function mergeProgress(terminal: Terminal, snapshot: string): MergeProgress {
  return terminal.stderr.isTTY === true ? bar(terminal, snapshot) : lines(terminal, snapshot);
}

function bar(terminal: Terminal, snapshot: string): MergeProgress {
  const format = `merging ${snapshot} [{bar}] {percentage}%  {duration_formatted}`;
  const options = { format, stream: terminal.stderr as NodeJS.WritableStream, hideCursor: true };
  const view = new SingleBar({ ...options, gracefulExit: true }, Presets.rect);
  view.start(100, 0);
  return {
    update: (share) => view.update(percent(share)),
    stop: () => view.stop(),
  };
}

function lines(terminal: Terminal, snapshot: string): MergeProgress {
  let next = 0;
  return {
    update: (share) => {
      const done = percent(share);
      if (done < next) return;
      terminal.stderr.write(`merging ${snapshot}: ${done}%\n`);
      next = (Math.floor(done / LINE_STEP_PERCENT) + 1) * LINE_STEP_PERCENT;
    },
    stop: () => undefined,
  };
}

function percent(share: number): number {
  return Math.floor(Math.min(Math.max(share, 0), 1) * 100);
}
