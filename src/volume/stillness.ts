/** File systems that stand still while a snapshot of their volume is taken. */
import type { Logger } from '../core/logger.js';
import type { Volume } from './model.js';
import type { NodeDevices } from './ports.js';

/**
 * Holds the file systems of the volume's device still until the returned function is called. A snapshot is worth having
 * without that, too: it holds what a power cut at that moment would leave, and the file system's journal is made
 * for it. So nothing of this is ever an error; the log has it.
 */
export async function holdStill(
  { devices, log }: { devices: NodeDevices; log: Logger },
  volume: Volume,
): Promise<() => Promise<void>> {
  if (volume.device === null) return async () => {};
  const warn = (why: string): void =>
    log.warn('a snapshot is crash-consistent only', { volume: volume.name, why });
  try {
    const thaw = await devices.freeze(volume.name);
    return async () => {
      if (!(await thaw())) warn('the file systems had to be let go before it was taken');
    };
  } catch (error) {
    warn(String(error));
    return async () => {};
  }
}
