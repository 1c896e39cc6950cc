/** Checks of what this machine needs to use volumes itself: kernel modules, initiator, tools. */
import { CommandError, type CommandRunner } from './command.js';
import type { Finding } from './doctor.js';
import type { Machine } from './machine.js';

const MODULES = {
  iscsi_tcp: {
    meaning:
      'This machine cannot log in to a volume over iSCSI (qemu and other programs still can).',
    file: 'iscsi_tcp.ko',
  },
  nbd: {
    meaning: 'This machine cannot attach a volume with nbd-client (qemu and libnbd still can).',
    file: 'nbd.ko',
  },
} as const;

export async function checkKernelModule(
  machine: Machine,
  module: keyof typeof MODULES,
): Promise<Finding> {
  const check = `module-${module.replace('_', '-')}`;
  if (await machine.exists(`/sys/module/${module}`)) {
    return { check, severity: 'ok', message: `kernel module ${module} is loaded` };
  }
  const { meaning, file } = MODULES[module];
  const folder = `/lib/modules/${machine.kernelRelease}`;
  if ((await machine.readText(`${folder}/modules.builtin`))?.includes(`/${file}`)) {
    return { check, severity: 'ok', message: `${module} is part of the kernel` };
  }
  const known = (await machine.readText(`${folder}/modules.dep`))?.includes(`/${file}`) ?? false;
  return {
    check,
    severity: 'warning',
    message: known
      ? `kernel module ${module} is not loaded`
      : `the kernel ${machine.kernelRelease} has no module ${module}`,
    meaning,
    hint: known
      ? `modprobe ${module} (at every boot: echo ${module} > /etc/modules-load.d/aurochs-${module}.conf)`
      : 'Install the kernel package that has it (Debian: linux-image-amd64 instead of the cloud kernel).',
  };
}

/** iscsid, or the systemd socket that starts it, listens on this abstract UNIX socket. */
const ISCSID_SOCKET = '@ISCSIADM_ABSTRACT_NAMESPACE';

export async function checkInitiator(machine: Machine): Promise<Finding> {
  const check = 'iscsid';
  const sockets = (await machine.readText('/proc/net/unix')) ?? '';
  if (sockets.includes(ISCSID_SOCKET)) {
    return { check, severity: 'ok', message: 'iscsid runs or is started on demand' };
  }
  const installed = (await machine.findProgram('iscsid')) !== null;
  return {
    check,
    severity: 'warning',
    message: installed ? 'iscsid does not run' : 'iscsid is not installed',
    meaning: 'iscsiadm cannot log in to a volume on this machine.',
    hint: installed ? 'systemctl enable --now iscsid.socket' : 'apt-get install open-iscsi',
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
    name: 'nbd-client',
    debianPackage: 'nbd-client',
    meaning: 'This machine cannot attach a volume as /dev/nbdN.',
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

/** What /etc/multipath/conf.d must hold so that multipathd leaves our disks alone. */
export const MULTIPATH_STANZA = 'blacklist { device { vendor "AUROCHS" product ".*" } }';

/** multipathd takes every SCSI disk it does not know, and a taken disk cannot be mounted. */
export async function checkMultipath(machine: Machine, runner: CommandRunner): Promise<Finding> {
  const check = 'multipathd';
  if (!(await isRunning(machine, 'multipathd'))) {
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
    hint: `echo '${MULTIPATH_STANZA}' > /etc/multipath/conf.d/aurochs.conf && multipathd reconfigure`,
  };
}

/** Reads what `multipath -t` prints: sections in braces, one setting a line. */
export function isVendorBlacklisted(configuration: string): boolean {
  const section = /^blacklist\s*\{([\s\S]*?)^\}/m.exec(configuration)?.[1] ?? '';
  return /vendor\s+"\^?AUROCHS/.test(section);
}

async function isRunning(machine: Machine, program: string): Promise<boolean> {
  const processes = (await machine.listDirectory('/proc')).filter((path) => /\/\d+$/.test(path));
  const names = await Promise.all(processes.map((path) => machine.readText(`${path}/comm`)));
  return names.some((name) => name?.trim() === program);
}
