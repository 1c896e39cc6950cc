/** multipathd takes every SCSI disk it does not know; a disk that it has taken can be used by nobody else. */
import { AurochsError } from '../core/errors.js';
import type { Holder } from './block-devices.js';
import { CommandError, type CommandRunner } from './command.js';
import type { Machine } from './machine.js';

/** What /etc/multipath/conf.d must hold so that multipathd leaves our disks alone. */
export const MULTIPATH_STANZA = 'blacklist { device { vendor "AUROCHS" product ".*" } }';

export const MULTIPATH_HINT = `echo '${MULTIPATH_STANZA}' > /etc/multipath/conf.d/aurochs.conf && multipathd reconfigure`;

/** Reads what `multipath -t` prints: sections in braces, one setting a line. */
export function isVendorBlacklisted(configuration: string): boolean {
  const section = /^blacklist\s*\{([\s\S]*?)^\}/m.exec(configuration)?.[1] ?? '';
  return /vendor\s+"\^?AUROCHS/.test(section);
}

export async function multipathdRuns(machine: Machine): Promise<boolean> {
  const processes = (await machine.listDirectory('/proc')).filter((path) => /\/\d+$/.test(path));
  const names = await Promise.all(processes.map((path) => machine.readText(`${path}/comm`)));
  return names.some((name) => name?.trim() === 'multipathd');
}

/** FAILED_PRECONDITION when multipathd has the disk, or says that it is about to take it. */
export async function refuseMultipath(
  volume: string,
  kernelName: string,
  holders: readonly Holder[],
  machine: Machine,
  runner: CommandRunner,
): Promise<void> {
  const holder = holders.find(({ multipath }) => multipath);
  if (holder !== undefined) {
    throw taken(volume, `/dev/${kernelName} is held by the multipath device ${holder.name}`);
  }
  if (!(await multipathdRuns(machine))) return;
  try {
    await runner.run('multipath', ['-c', `/dev/${kernelName}`]);
  } catch (error) {
    if (error instanceof CommandError) return; // It does not want the disk, or is not installed.
    throw error;
  }
  throw taken(volume, `multipathd takes /dev/${kernelName}`);
}

function taken(volume: string, what: string): AurochsError {
  return new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${volume}: ${what}`,
    `Exclude our disks: ${MULTIPATH_HINT}; then remove the map (multipath -f NAME) if there is one, and repeat.`,
  );
}
