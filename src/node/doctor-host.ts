/** Checks of what this machine needs to use volumes itself: kernel modules, initiator, tools. */
import { CommandError, type CommandRunner } from './command.js';
import type { Finding } from './doctor.js';
import { initiatorListens, ISCSID_START_HINT, OPEN_ISCSI_INSTALL_HINT } from './iscsid.js';
import { MODULE_ABSENT_HINT, type ModuleName, moduleState } from './kernel-modules.js';
import type { Machine } from './machine.js';
import { isVendorBlacklisted, MULTIPATH_HINT, multipathdRuns } from './multipath.js';

/** sd_mod is left out: every kernel with SCSI has it, and it is loaded when it is needed. */
type CheckedModule = Exclude<ModuleName, 'sd_mod'>;

const MODULE_MEANINGS: Record<CheckedModule, string> = {
  iscsi_tcp:
    'This machine cannot log in to a volume over iSCSI (qemu and other programs still can).',
  nbd: 'This machine cannot attach a volume as /dev/nbdN (qemu and libnbd still can).',
};

export async function checkKernelModule(machine: Machine, module: CheckedModule): Promise<Finding> {
  const check = `module-${module.replace('_', '-')}`;
  const state = await moduleState(machine, module);
  if (state === 'loaded') {
    return { check, severity: 'ok', message: `kernel module ${module} is loaded` };
  }
  if (state === 'built in') {
    return { check, severity: 'ok', message: `${module} is part of the kernel` };
  }
  const known = state === 'loadable';
  return {
    check,
    severity: 'warning',
    message: known
      ? `kernel module ${module} is not loaded`
      : `the kernel ${machine.kernelRelease} has no module ${module}`,
    meaning: MODULE_MEANINGS[module],
    hint: known
      ? `modprobe ${module} (at every boot: echo ${module} > /etc/modules-load.d/aurochs-${module}.conf)`
      : MODULE_ABSENT_HINT,
  };
}

export async function checkInitiator(machine: Machine): Promise<Finding> {
  const check = 'iscsid';
  if (await initiatorListens(machine, '/proc/net/unix')) {
    return { check, severity: 'ok', message: 'iscsid runs or is started on demand' };
  }
  const installed = (await machine.findProgram('iscsid')) !== null;
  return {
    check,
    severity: 'warning',
    message: installed ? 'iscsid does not run' : 'iscsid is not installed',
    meaning: 'iscsiadm cannot log in to a volume on this machine.',
    hint: installed ? ISCSID_START_HINT : OPEN_ISCSI_INSTALL_HINT,
  };
}

interface NeededProgram {
  name: string;
  debianPackage: string;
  meaning: string;
}

const PROGRAMS: readonly NeededProgram[] = [
  {
    name: 'iscsiadm',
    debianPackage: 'open-iscsi',
    meaning: 'This machine cannot log in to a volume over iSCSI.',
  },
  {
    name: 'findmnt',
    debianPackage: 'util-linux',
    meaning: 'What is mounted cannot be seen.',
  },
  {
    name: 'blkid',
    debianPackage: 'util-linux',
    meaning: 'The file system on a volume cannot be recognised.',
  },
  {
    name: 'lsblk',
    debianPackage: 'util-linux',
    meaning: 'The block devices of a volume cannot be listed.',
  },
  {
    name: 'mkfs.ext4',
    debianPackage: 'e2fsprogs',
    meaning: 'A volume cannot be formatted with ext4.',
  },
  {
    name: 'mkfs.xfs',
    debianPackage: 'xfsprogs',
    meaning: 'A volume cannot be formatted with xfs.',
  },
  {
    name: 'e2fsck',
    debianPackage: 'e2fsprogs',
    meaning: 'A file system ext4 cannot be checked before it is mounted.',
  },
  {
    name: 'resize2fs',
    debianPackage: 'e2fsprogs',
    meaning: 'A file system ext4 cannot grow with its volume.',
  },
  {
    name: 'xfs_growfs',
    debianPackage: 'xfsprogs',
    meaning: 'A file system xfs cannot grow with its volume.',
  },
  {
    name: 'filefrag',
    debianPackage: 'e2fsprogs',
    meaning: 'Formatting a large volume takes long.',
  },
  {
    name: 'cryptsetup',
    debianPackage: 'cryptsetup-bin',
    meaning: 'A volume cannot be encrypted.',
  },
  {
    name: 'fallocate',
    debianPackage: 'util-linux',
    meaning: 'A new file system takes up the space of its journal.',
  },
  {
    name: 'fsfreeze',
    debianPackage: 'util-linux',
    meaning: 'A snapshot cannot hold the mounted file system still.',
  },
  {
    name: 'fstrim',
    debianPackage: 'util-linux',
    meaning: 'Unused blocks of a file system cannot be given back.',
  },
  {
    name: 'flock',
    debianPackage: 'util-linux',
    meaning: 'Calls of iscsiadm cannot be kept apart from those of other processes.',
  },
  {
    name: 'nsenter',
    debianPackage: 'util-linux',
    meaning: 'An agent in a container cannot mount for the host.',
  },
  {
    name: 'modprobe',
    debianPackage: 'kmod',
    meaning: 'Kernel modules have to be loaded by hand.',
  },
];

export async function checkPrograms(machine: Machine): Promise<Finding[]> {
  return Promise.all(
    PROGRAMS.map(async ({ name, debianPackage, meaning }): Promise<Finding> => {
      const check = `program-${name.replace('.', '-')}`;
      const path = await machine.findProgram(name);
      if (path !== null) return { check, severity: 'ok', message: `${name} is ${path}` };
      const hint = `apt-get install ${debianPackage}`;
      return { check, severity: 'warning', message: `${name} is not installed`, meaning, hint };
    }),
  );
}

/** multipathd takes every SCSI disk it does not know, and a taken disk cannot be mounted. */
export async function checkMultipath(machine: Machine, runner: CommandRunner): Promise<Finding> {
  const check = 'multipathd';
  if (!(await multipathdRuns(machine))) {
    return { check, severity: 'ok', message: 'multipathd does not run' };
  }
  let configuration = '';
  try {
    configuration = (await runner.run('multipath', ['-t'])).stdout;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
  }
  if (isVendorBlacklisted(configuration)) {
    return { check, severity: 'ok', message: 'multipathd runs and leaves our disks alone' };
  }
  return {
    check,
    severity: 'warning',
    message: 'multipathd runs and does not exclude the vendor AUROCHS',
    meaning: 'It may take the disks of volumes, which then cannot be formatted or mounted.',
    hint: MULTIPATH_HINT,
  };
}
