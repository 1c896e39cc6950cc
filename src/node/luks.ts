/**
 * LUKS2 containers on volumes, by cryptsetup. Passphrases go over its standard input: a command line is visible to every
 * user of the machine. Discards pass through, so that trimming gives space back; who sees the replica then sees
 * which blocks are not used. The key is not kept in the kernel's keyring, so that growing needs no passphrase.
 */
import { AurochsError } from '../core/errors.js';
import { CRYPTSETUP_TIMEOUT_MS } from '../core/limits.js';
import type { Encryption } from '../volume/ports.js';
import { CommandError } from './command.js';
import { runTool } from './filesystem.js';
import type { Host } from './host-namespaces.js';

/** The container is ours, and nobody has been given what is inside: it is noise, or half a file system. */
export const LABEL_NEW = 'aurochs-new';
/** What is inside is somebody's. */
export const LABEL_READY = 'aurochs';

/** Exit codes of cryptsetup(8). */
const WRONG_PASSPHRASE = 2;
const BUSY = 5;

export function mappingName(volume: string): string {
  return `aurochs-${volume}`;
}

export function mappingPath(volume: string): string {
  return `/dev/mapper/${mappingName(volume)}`;
}

/** Makes a container in an image. */
export async function formatContainer(
  host: Host,
  volume: string,
  image: string,
  encryption: Encryption,
  label: string,
  physicalBlockBytes: number | null,
): Promise<void> {
  const { passphrase, cipher, keySizeBits, pbkdf } = encryption;
  const args = [
    ...['luksFormat', '--batch-mode', '--type', 'luks2', '--key-file=-', '--label', label],
    ...(cipher === undefined ? [] : ['--cipher', cipher]),
    ...(keySizeBits === undefined ? [] : ['--key-size', String(keySizeBits)]),
    ...(pbkdf === undefined ? [] : ['--pbkdf', pbkdf]),
    ...(physicalBlockBytes !== null && physicalBlockBytes >= 4096 ? ['--sector-size', '4096'] : []),
  ];
  await host.keyDerivations.run(volume, () =>
    cryptsetup(host, volume, 'cannot be encrypted', [...args, image], passphrase),
  );
}

/** PERMISSION_DENIED when the passphrase is wrong. */
export async function openContainer(
  host: Host,
  volume: string,
  device: string,
  passphrase: string,
  readOnly: boolean,
): Promise<void> {
  const args = [
    ...['open', '--type', 'luks2', '--key-file=-', '--disable-keyring', '--allow-discards'],
    ...(readOnly ? ['--readonly'] : []),
  ];
  const where = [device, mappingName(volume)];
  await host.keyDerivations.run(volume, () =>
    cryptsetup(host, volume, 'cannot be opened', [...args, ...where], passphrase),
  );
}

export async function closeContainer(host: Host, volume: string): Promise<void> {
  await cryptsetup(host, volume, 'cannot be closed', ['close', mappingName(volume)]);
}

export async function growContainer(host: Host, volume: string): Promise<void> {
  await cryptsetup(host, volume, 'cannot grow', ['resize', mappingName(volume)]);
}

export async function labelContainer(
  host: Host,
  volume: string,
  device: string,
  label: string,
): Promise<void> {
  const args = ['config', '--label', label, device];
  await cryptsetup(host, volume, 'cannot be labelled', args);
}

async function cryptsetup(
  host: Host,
  volume: string,
  what: string,
  args: readonly string[],
  passphrase = '',
): Promise<void> {
  try {
    const options = { timeoutMs: CRYPTSETUP_TIMEOUT_MS, input: passphrase };
    await runTool(host, 'cryptsetup', args, options);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (error.exitCode === WRONG_PASSPHRASE) {
      throw new AurochsError(
        'PERMISSION_DENIED',
        `volume ${volume}: the passphrase opens none of its key slots`,
        'Give the passphrase that the volume was encrypted with.',
        { cause: error },
      );
    }
    throw new AurochsError(
      error.exitCode === BUSY ? 'BUSY' : 'FAILED_PRECONDITION',
      `volume ${volume}: its encryption ${what}: ${error.said || error.reason}`,
      error.exitCode === BUSY
        ? 'Somebody uses the device: take down what stands on it, then repeat.'
        : 'Are cipher and key size known to this kernel, and is the volume larger than 16 MiB? See also the end of dmesg.',
      { cause: error },
    );
  }
}
