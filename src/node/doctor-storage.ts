/** Checks of the place where replicas are kept. */
import type { Finding } from './doctor.js';
import type { Machine } from './machine.js';

const GIB = 1024n ** 3n;
const FREE_BYTES_GOOD = 10n * GIB;
/** Room for the store, its journal and some metadata; below that nothing can be created. */
const FREE_BYTES_MIN = GIB / 4n;

/** f_type values of statfs(2) (linux/magic.h) and what each means for sparse replica files. */
const FILE_SYSTEMS: Record<
  number,
  { name: string; verdict: 'good' | 'lost' | 'untested' | 'remote' }
> = {
  0xef53: { name: 'ext4', verdict: 'good' },
  0x58465342: { name: 'xfs', verdict: 'good' },
  0x9123683e: { name: 'btrfs', verdict: 'untested' },
  0x2fc12fc1: { name: 'zfs', verdict: 'untested' },
  0xf2f52010: { name: 'f2fs', verdict: 'untested' },
  0x794c7630: { name: 'overlayfs', verdict: 'untested' },
  0x01021994: { name: 'tmpfs', verdict: 'lost' },
  0x858458f6: { name: 'ramfs', verdict: 'lost' },
  0x6969: { name: 'NFS', verdict: 'remote' },
  0x01021997: { name: '9p', verdict: 'remote' },
  0xff534d42: { name: 'CIFS', verdict: 'remote' },
  0xfe534d42: { name: 'SMB', verdict: 'remote' },
  0x65735546: { name: 'FUSE', verdict: 'remote' },
};

const MEANING = {
  untested:
    'Replicas need holes, punching and durable renames; every disk is probed when it is added.',
  lost: 'Everything in it is gone after a reboot.',
  remote: 'Holes or durable renames may not work there; the probe refuses the disk if so.',
} as const;

export async function checkDataDirectory(machine: Machine, directory: string): Promise<Finding> {
  const check = 'data-directory';
  const info = await machine.fileSystemOf(directory);
  if (!info.writable) {
    return {
      check,
      severity: 'error',
      message: `${info.directory} cannot be written by this user`,
      meaning: `The agent cannot keep its data in ${directory}.`,
      hint: 'Run the agent as root, or give it a directory of your own with --data-dir.',
    };
  }
  const kind = FILE_SYSTEMS[info.magic];
  const name = kind?.name ?? `a file system of type 0x${info.magic.toString(16)}`;
  const message = `${directory} is on ${name}`;
  if (kind?.verdict === 'good') return { check, severity: 'ok', message };
  return {
    check,
    severity: 'warning',
    message,
    meaning: MEANING[kind?.verdict ?? 'untested'],
    hint: 'Use a directory on ext4 or xfs (--data-dir).',
  };
}

export async function checkFreeSpace(machine: Machine, directory: string): Promise<Finding> {
  const check = 'free-space';
  const info = await machine.fileSystemOf(directory);
  const gib = (Number(info.freeBytes) / Number(GIB)).toFixed(1);
  const message = `${gib} GiB are free at ${info.directory}`;
  if (info.freeBytes >= FREE_BYTES_GOOD) return { check, severity: 'ok', message };
  return {
    check,
    severity: info.freeBytes < FREE_BYTES_MIN ? 'error' : 'warning',
    message,
    meaning: 'Volumes are sparse: a write that finds no room fails with "no space".',
    hint: 'Free some, or add a larger disk with: aurochs disk add PATH',
  };
}
