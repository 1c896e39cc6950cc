/** /dev/aurochs/<volume>: a name that stays the same whatever the kernel calls the device. */
import { randomUUID } from 'node:crypto';
import { access, mkdir, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';

import type { Host } from './host-namespaces.js';

const FOLDER = '/dev/aurochs';

/** Names of links that are being made begin with a dot, and volumes' never do. */
const TEMPORARY = '.';

export function devicePath(volume: string): string {
  return `${FOLDER}/${volume}`;
}

export class DeviceLinks {
  constructor(private readonly host: Host) {}

  /** Makes or corrects the link; whoever opens it meanwhile sees the old device or the new one. */
  async set(volume: string, kernelName: string): Promise<void> {
    const path = this.host.path(devicePath(volume));
    const goal = `../${kernelName}`; // Relative, so that it also leads to the device from outside.
    if ((await readlink(path).catch(() => null)) === goal) return;
    await mkdir(this.host.path(FOLDER), { recursive: true, mode: 0o755 });
    const temporary = this.host.path(`${FOLDER}/${TEMPORARY}${randomUUID()}`);
    await symlink(goal, temporary);
    await rename(temporary, path);
  }

  async remove(volume: string): Promise<void> {
    await rm(this.host.path(devicePath(volume)), { force: true });
  }

  /** Removes the links whose device is gone: a machine that lost power keeps none, a killed agent may. */
  async removeStale(): Promise<void> {
    const folder = this.host.path(FOLDER);
    for (const name of await readdir(folder).catch(() => [])) {
      if (name.startsWith(TEMPORARY)) continue;
      const path = `${folder}/${name}`;
      const leads = await access(path).then(
        () => true,
        () => false,
      );
      if (!leads) await rm(path, { force: true });
    }
  }
}
