/**
 * What a user may tell mount. Only what is listed is passed on: mount itself takes options that run helpers, name other
 * devices or turn the mount into another one (loop, bind, remount, helper=, x-mount.*), and kernels learn new ones.
 * Options may hold what is not for a log: errors name the key alone.
 */
import { AurochsError } from '../core/errors.js';
import { MOUNT_OPTION_CHARS_MAX, MOUNT_OPTIONS_MAX } from '../core/limits.js';
import type { FileSystemType } from '../volume/ports.js';

/** Of a mount, not of the file system: they may differ from one bind mount to the next. */
const OF_A_MOUNT = [
  ...['atime', 'noatime', 'diratime', 'nodiratime', 'relatime', 'norelatime', 'strictatime'],
  ...['nostrictatime', 'dev', 'nodev', 'exec', 'noexec', 'suid', 'nosuid'],
];

const OF_ANY = [
  ...['async', 'sync', 'dirsync', 'defaults', 'discard', 'nodiscard', 'iversion', 'noiversion'],
  ...['lazytime', 'nolazytime', 'mand', 'nomand', 'nofail', '_netdev'],
  ...['context', 'fscontext', 'defcontext', 'rootcontext', 'seclabel'],
  ...['grpquota', 'prjquota', 'quota', 'noquota', 'usrquota'],
];

const OF_TYPE: Record<FileSystemType, readonly string[]> = {
  ext4: [
    ...['acl', 'noacl', 'user_xattr', 'nouser_xattr', 'auto_da_alloc', 'noauto_da_alloc'],
    ...['barrier', 'nobarrier', 'block_validity', 'noblock_validity', 'bsddf', 'minixdf', 'commit'],
    ...['data', 'data_err', 'delalloc', 'nodelalloc', 'dioread_lock', 'dioread_nolock', 'errors'],
    ...['grpid', 'nogrpid', 'bsdgroups', 'sysvgroups', 'grpjquota', 'usrjquota', 'jqfmt'],
    ...['i_version', 'init_itable', 'noinit_itable', 'inode_readahead_blks', 'journal_checksum'],
    ...['nojournal_checksum', 'journal_async_commit', 'journal_ioprio', 'max_batch_time'],
    ...['min_batch_time', 'max_dir_size_kb', 'mb_optimize_scan', 'noload', 'norecovery'],
    ...['resgid', 'resuid', 'stripe'],
  ],
  xfs: [
    ...['allocsize', 'attr2', 'noattr2', 'filestreams', 'grpid', 'nogrpid', 'bsdgroups'],
    ...['sysvgroups', 'ikeep', 'noikeep', 'inode32', 'inode64', 'largeio', 'nolargeio', 'logbsize'],
    ...['logbufs', 'noalign', 'norecovery', 'nouuid', 'sunit', 'swidth', 'swalloc', 'wsync'],
    ...['gquota', 'gqnoenforce', 'pquota', 'pqnoenforce', 'qnoenforce', 'uquota', 'uqnoenforce'],
  ],
};

/** Nothing that begins another option, and no path; a label of SELinux has commas, in quotes. */
const VALUE = /^(?:[\w.:+-]*|"[\w.:,+-]*")$/;
/** It would stop the whole machine because one volume is damaged. */
const FORBIDDEN_VALUES: Readonly<Record<string, string>> = { errors: 'panic' };

/** For a file system of one of these types. */
export function checkMountOptions(
  options: readonly string[],
  types: readonly FileSystemType[],
): void {
  if (
    options.length > MOUNT_OPTIONS_MAX ||
    options.some((option) => option.length > MOUNT_OPTION_CHARS_MAX)
  ) {
    throw new AurochsError(
      'LIMIT_EXCEEDED',
      `more than ${MOUNT_OPTIONS_MAX} mount options, or one of more than ${MOUNT_OPTION_CHARS_MAX} characters`,
    );
  }
  const allowed = [...OF_A_MOUNT, ...OF_ANY, ...types.flatMap((type) => OF_TYPE[type])];
  for (const option of options) {
    const equals = option.indexOf('=');
    const key = keyOf(option);
    const value = equals < 0 ? '' : option.slice(equals + 1);
    const known = allowed.includes(key);
    if (known && VALUE.test(value) && FORBIDDEN_VALUES[key] !== value) continue;
    throw new AurochsError(
      'INVALID_ARGUMENT',
      `the mount option ${JSON.stringify(key)} ${known ? 'may not have this value' : `is not among those that may be given for ${types.join(' or ')}`}`,
      'Leave it out; docs/devices.md has those that may be given.',
    );
  }
}

/** The options that a bind mount can have for itself. */
export function bindOptions(options: readonly string[]): string[] {
  return options.filter((option) => OF_A_MOUNT.includes(option));
}

/** For a person, without values. */
export function keysOf(options: readonly string[]): string {
  return options.map(keyOf).join(', ');
}

function keyOf(option: string): string {
  return option.split('=')[0] ?? '';
}
