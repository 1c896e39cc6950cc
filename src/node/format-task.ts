/**
 * What writes to a volume's device, as a process of its own (format-main.ts). The device is served by the agent: a
 * thread of the agent that waits for it cannot be killed before it is answered, and would keep the killed agent's
 * sockets and locks, so that the next one, which is to answer, could not start. A process that waits holds
 * nothing but the device, goes on when the next agent serves it, and finishes.
 */
import { AurochsError, isErrorCode } from '../core/errors.js';
import { type Contents, describe, probe } from './contents.js';
import { HostDeviceFile } from './device-file.js';
import { eraseUnfinished, writeImage } from './formatter.js';
import type { Host, HostView } from './host-namespaces.js';
import { SparseImage } from './sparse-image.js';

export interface FormatTask {
  volume: string;
  volumeId: string;
  /** "/dev/aurochs/db" */
  device: string;
  /** What the device is to hold; null: take away what an unfinished format has left, if one has. */
  image: string | null;
  /** How the host is seen. */
  view: HostView;
}

/** What is on the device may have changed before it was held, and is looked at again. */
export async function performTask(host: Host, task: FormatTask): Promise<void> {
  const { volume, volumeId, device: path } = task;
  const image = task.image === null ? null : await SparseImage.open(task.image);
  const device = await HostDeviceFile.open(host, volume, path);
  try {
    const contents = await probe(host, path, volumeId);
    if (image !== null) await write(host, task, device, image, contents);
    else if (contents.kind === 'unfinished') await eraseUnfinished(device);
  } catch (error) {
    if (error instanceof AurochsError) throw error;
    throw new AurochsError(
      'IO',
      `volume ${volume}: formatting ${path} failed: ${(error as Error).message}`,
      'Is its disk full (aurochs disk ls)? See the end of dmesg; repeating begins anew.',
      { cause: error },
    );
  } finally {
    await device.close();
    await image?.close();
  }
}

async function write(
  host: Host,
  { volume, volumeId }: FormatTask,
  device: HostDeviceFile,
  image: SparseImage,
  contents: Contents,
): Promise<void> {
  if (contents.kind !== 'blank' && contents.kind !== 'unfinished') {
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${volume} has become ${describe(contents)} while it was to be formatted`,
      'Nothing has been changed. Somebody else uses it.',
    );
  }
  const runs = await image.runs(host);
  const source = { sizeBytes: image.sizeBytes, runs, read: image.read.bind(image) };
  await writeImage(device, source, volumeId, contents.kind === 'unfinished');
}

/** An error as the process prints it. */
export function printedError(error: unknown): string {
  if (!(error instanceof AurochsError)) return JSON.stringify({ message: String(error) });
  const { code, message, hint } = error;
  return JSON.stringify({ code, message, hint });
}

/** What the process has printed, as an error; null when it has not printed one. */
export function parseError(stdout: string): AurochsError | null {
  try {
    const { code, message, hint } = JSON.parse(stdout) as Record<string, string | undefined>;
    return new AurochsError(
      isErrorCode(code ?? '') ? (code as AurochsError['code']) : 'INTERNAL',
      message ?? '',
      hint,
    );
  } catch {
    return null;
  }
}
