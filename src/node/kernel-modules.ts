/** Is a module there, can it be had, and getting it. */
import { AurochsError } from '../core/errors.js';
import { CommandError, type CommandRunner } from './command.js';
import type { Obstacle } from './device-kind.js';
import type { Machine } from './machine.js';

export type ModuleName = 'iscsi_tcp' | 'nbd' | 'sd_mod';
export type ModuleState = 'loaded' | 'built in' | 'loadable' | 'absent';

export const MODULE_ABSENT_HINT =
  'Install the kernel package that has it (Debian: linux-image-amd64 instead of the cloud kernel).';

export async function moduleState(machine: Machine, module: ModuleName): Promise<ModuleState> {
  if (await machine.exists(`/sys/module/${module}`)) return 'loaded';
  const folder = `/lib/modules/${machine.kernelRelease}`;
  const file = `/${module}.ko`;
  if ((await machine.readText(`${folder}/modules.builtin`))?.includes(file)) return 'built in';
  return (await machine.readText(`${folder}/modules.dep`))?.includes(file) ? 'loadable' : 'absent';
}

/** Loads the module if that is needed; UNSUPPORTED when it cannot be had. */
export async function ensureModule(
  machine: Machine,
  runner: CommandRunner,
  module: ModuleName,
): Promise<void> {
  const state = await moduleState(machine, module);
  if (state === 'loaded' || state === 'built in') return;
  if (state === 'absent') {
    throw new AurochsError(
      'UNSUPPORTED',
      `the kernel ${machine.kernelRelease} has no module ${module}`,
      MODULE_ABSENT_HINT,
    );
  }
  try {
    await runner.run('modprobe', [module]);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new AurochsError(
      'UNSUPPORTED',
      `kernel module ${module} cannot be loaded: ${error.said || error.message}`,
      `See the end of dmesg and /etc/modprobe.d, then try: modprobe ${module}`,
      { cause: error },
    );
  }
}

/** As ensureModule, for who may do without: null when the module is there now. */
export async function moduleObstacle(
  machine: Machine,
  runner: CommandRunner,
  module: ModuleName,
): Promise<Obstacle | null> {
  try {
    await ensureModule(machine, runner, module);
    return null;
  } catch (error) {
    if (!(error instanceof AurochsError)) throw error;
    return { code: error.code, message: error.message, hint: error.hint ?? '' };
  }
}
