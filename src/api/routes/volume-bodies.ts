/** Volumes as the routes answer them. */
import type { Volume } from '../../volume/model.js';
import { volumeBody } from '../bodies.js';
import type { VolumeBody } from '../types.js';
import type { RouteDeps } from './deps.js';

export async function bodies(
  { volumes, disks }: RouteDeps,
  list: Volume[],
  withSecrets = false,
): Promise<VolumeBody[]> {
  const paths = new Map((await disks.list()).map((disk) => [disk.id, disk.path]));
  return list.map((volume) =>
    volumeBody({
      volume,
      exports: volumes.exports(volume),
      allocatedBytes: volumes.allocatedBytes(volume),
      copyShare: volumes.copyShare(volume),
      diskPath: (id) => paths.get(id) ?? '',
      withSecrets,
    }),
  );
}

export async function body(
  deps: RouteDeps,
  volume: Volume,
  withSecrets = false,
): Promise<VolumeBody | undefined> {
  return (await bodies(deps, [volume], withSecrets))[0];
}
