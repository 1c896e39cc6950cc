/**
 * What on this machine stands in the way of serving and using volumes. Only looks, changes nothing,
 * needs no agent and no root.
 *
 * An `error` stops the agent or puts data at risk; a `warning` takes a way of using a
 * volume away or makes it slower.
 */
import type { CommandRunner } from './command.js';
import { checkIoFlusher, checkIoUring, checkOpenFiles } from './doctor-agent.js';
import { checkInitiator, checkKernelModule, checkMultipath, checkPrograms } from './doctor-host.js';
import { checkService } from './doctor-service.js';
import { checkDataDirectory, checkFreeSpace } from './doctor-storage.js';
import type { Machine } from './machine.js';

export type FindingSeverity = 'ok' | 'warning' | 'error';

export interface Finding {
  /** Stable name for programs: "io_uring", "module-nbd", … */
  check: string;
  severity: FindingSeverity;
  /** What was found. */
  message: string;
  /** What it means for the user; not for `ok`. */
  meaning?: string;
  /** The next step; not for `ok`. */
  hint?: string;
}

export interface DoctorOptions {
  dataDirectory: string;
  /** Why io_uring cannot be used; null if it can. Throws when the native core cannot be loaded. */
  ioUringProblem: () => string | null;
  /** Why the data path's threads are no I/O flushers; null if they are. Throws likewise. */
  ioFlusherProblem: () => string | null;
}

export async function examine(
  machine: Machine,
  runner: CommandRunner,
  options: DoctorOptions,
): Promise<Finding[]> {
  const findings = await Promise.all([
    checkIoUring(machine, options.ioUringProblem),
    checkOpenFiles(machine),
    checkDataDirectory(machine, options.dataDirectory),
    checkFreeSpace(machine, options.dataDirectory),
    checkKernelModule(machine, 'iscsi_tcp'),
    checkKernelModule(machine, 'nbd'),
    checkInitiator(machine),
    checkPrograms(machine),
    checkMultipath(machine, runner),
    checkService(machine, runner),
  ]);
  return [findings, checkIoFlusher(options.ioFlusherProblem)].flat(2);
}
