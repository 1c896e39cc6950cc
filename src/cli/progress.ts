/** How far something is that the agent does in the background: a bar on a terminal, a line every now and then else. */
import { Presets, SingleBar } from 'cli-progress';

import type { Terminal } from './terminal.js';

/** Plain lines come this far apart, so that a log of long work stays short. */
const LINE_STEP_PERCENT = 10;

export interface Progress {
  /** `share` is between 0 and 1. */
  update(share: number): void;
  /** Leaves the terminal in order, also after an error. */
  stop(): void;
}

/** `what` is "merging mon". */
export function showProgress(terminal: Terminal, what: string): Progress {
  return terminal.stderr.isTTY === true ? bar(terminal, what) : lines(terminal, what);
}

function bar(terminal: Terminal, what: string): Progress {
  const format = `${what} [{bar}] {percentage}%  {duration_formatted}`;
  const options = { format, stream: terminal.stderr as NodeJS.WritableStream, hideCursor: true };
  const view = new SingleBar({ ...options, gracefulExit: true }, Presets.rect);
  view.start(100, 0);
  return {
    update: (share) => view.update(percent(share)),
    stop: () => view.stop(),
  };
}

function lines(terminal: Terminal, what: string): Progress {
  let next = 0;
  return {
    update: (share) => {
      const done = percent(share);
      if (done < next) return;
      terminal.stderr.write(`${what}: ${done}%\n`);
      next = (Math.floor(done / LINE_STEP_PERCENT) + 1) * LINE_STEP_PERCENT;
    },
    stop: () => undefined,
  };
}

function percent(share: number): number {
  return Math.floor(Math.min(Math.max(share, 0), 1) * 100);
}
