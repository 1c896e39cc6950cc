/** Checks of what the agent itself needs from the kernel. */
import type { Finding } from './doctor.js';
import type { Machine } from './machine.js';

/** An attached volume holds about four files and each of its sessions one; 500 volumes fit well. */
const OPEN_FILES_GOOD = 16_384;
/** Below this a few dozen volumes exhaust it. */
const OPEN_FILES_MIN = 1_024;

export async function checkIoUring(
  machine: Machine,
  ioUringProblem: () => string | null,
): Promise<Finding> {
  const check = 'io_uring';
  let problem: string | null;
  try {
    problem = ioUringProblem();
  } catch (error) {
    return {
      check,
      severity: 'error',
      message: `the native core cannot be loaded: ${(error as Error).message}`,
      meaning: 'The agent cannot start.',
      hint: 'Build it with: npm run build',
    };
  }
  if (problem === null) return { check, severity: 'ok', message: 'io_uring can be used' };
  return {
    check,
    severity: 'warning',
    message: `io_uring cannot be used: ${problem}`,
    meaning: 'The agent uses epoll and threads instead, which costs more processor time a request.',
    hint: await ioUringHint(machine),
  };
}

/** Nothing when the native core cannot be loaded, which checkIoUring says. */
export function checkIoFlusher(ioFlusherProblem: () => string | null): Finding[] {
  const check = 'io-flusher';
  let problem: string | null;
  try {
    problem = ioFlusherProblem();
  } catch {
    return [];
  }
  if (problem === null) {
    return [{ check, severity: 'ok', message: 'the data path’s threads can be I/O flushers' }];
  }
  return [
    {
      check,
      severity: 'warning',
      message: `the data path’s threads are no I/O flushers: ${problem}`,
      meaning:
        'When memory is short, the machine may wait for a volume that waits for memory to be freed.',
      hint: 'Run the agent as its systemd unit does, or as root with CAP_SYS_RESOURCE.',
    },
  ];
}

async function ioUringHint(machine: Machine): Promise<string> {
  const setting = (await machine.readText('/proc/sys/kernel/io_uring_disabled'))?.trim();
  if (setting === '1' || setting === '2') {
    return `Allow it with: sysctl kernel.io_uring_disabled=0 (it is ${setting})`;
  }
  return 'In a container allow the io_uring system calls in its seccomp profile; it takes Linux 5.11 or newer.';
}

export async function checkOpenFiles(machine: Machine): Promise<Finding> {
  const check = 'open-files';
  const limit = hardOpenFileLimit((await machine.readText('/proc/self/limits')) ?? '');
  if (limit === null) {
    return {
      check,
      severity: 'warning',
      message: 'the limit of open files cannot be read from /proc/self/limits',
      meaning: 'Whether many volumes can be open at once is unknown.',
      hint: 'Mount /proc.',
    };
  }
  if (limit >= OPEN_FILES_GOOD) {
    const shown = limit === Infinity ? 'unlimited' : String(limit);
    return { check, severity: 'ok', message: `open files: ${shown}` };
  }
  return {
    check,
    severity: limit < OPEN_FILES_MIN ? 'error' : 'warning',
    message: `at most ${limit} files may be open`,
    meaning: `Each attached volume needs about four and each session one; ${OPEN_FILES_GOOD} are enough for hundreds of volumes.`,
    hint: 'Raise it: LimitNOFILE=1048576 in the systemd unit, or ulimit -n as root.',
  };
}

/** The hard limit is what counts: Node raises the soft one to it when it starts. */
export function hardOpenFileLimit(limits: string): number | null {
  const match = /^Max open files\s+\S+\s+(\S+)/m.exec(limits);
  if (match?.[1] === undefined) return null;
  return match[1] === 'unlimited' ? Infinity : Number(match[1]);
}
