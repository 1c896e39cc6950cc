/** What stands on a volume's device on this machine, read from the kernel each time. */
import { AurochsError } from '../core/errors.js';
import type { NodeDevices } from '../volume/ports.js';
import { type BlockDevices, nodeNames } from './block-devices.js';
import { mappingName, mappingPath } from './luks.js';
import type { MountEntry } from './mount-table.js';
import type { Device } from './volume-mount.js';

/** dm-crypt's devices have a uuid that begins so. */
const CRYPT_UUID = 'CRYPT-';
/** What the kernel appends to the name of a device node that is gone. */
const DELETED = '//deleted';

export interface Mapping extends Device {
  /** Stands on a device that is gone: the volume was detached by force. */
  stale: boolean;
}

export interface VolumeStack {
  device: Device | null;
  /** The opened LUKS container. */
  mapping: Mapping | null;
  /** What a user of the volume gets: the mapping, or else the device. */
  top: Device | null;
  /** Mounts of the file system on either. */
  mounts: MountEntry[];
  /** Bind mounts of the device node of either. */
  nodes: MountEntry[];
}

export function kernelName(kernelPath: string): string {
  return kernelPath.slice('/dev/'.length);
}

export async function readStack(
  blocks: BlockDevices,
  devices: Pick<NodeDevices, 'find'>,
  volume: string,
): Promise<VolumeStack> {
  const found = await devices.find(volume);
  const device = found === null ? null : { path: found.path, name: kernelName(found.kernelPath) };
  const mapping = await findMapping(blocks, volume, device);
  const names = [device, mapping].flatMap((each) => (each === null ? [] : [each.name]));
  const mounts = await Promise.all(names.map((name) => blocks.mounts(name)));
  return {
    device,
    mapping,
    top: mapping ?? device,
    mounts: mounts.flat(),
    nodes: await blocks.nodeMounts(nodesOf(volume, device, mapping)),
  };
}

export async function findMapping(
  blocks: BlockDevices,
  volume: string,
  device: Device | null,
): Promise<Mapping | null> {
  for (const name of await blocks.names()) {
    const folder = `/sys/block/${name}`;
    if ((await blocks.sysfs.read(`${folder}/dm/name`)) !== mappingName(volume)) continue;
    if ((await blocks.sysfs.read(`${folder}/dm/uuid`))?.startsWith(CRYPT_UUID) !== true) continue;
    const below = await blocks.sysfs.list(`${folder}/slaves`);
    const stale = device === null || !below.includes(device.name);
    return { path: mappingPath(volume), name, stale };
  }
  return null;
}

/** Below /dev. */
function nodesOf(volume: string, device: Device | null, mapping: Mapping | null): string[] {
  const above =
    mapping === null ? [] : nodeNames({ kernelName: mapping.name, name: mappingName(volume) });
  return [...(device === null ? [] : [device.name]), ...above];
}

/** The volume's own, or of a device that is gone: nobody else's. */
export async function isOwnOrDead(
  blocks: BlockDevices,
  { mounts, nodes }: VolumeStack,
  entry: MountEntry,
): Promise<boolean> {
  const own = [...mounts, ...nodes].some(
    ({ mountPoint, deviceNumber, root }) =>
      mountPoint === entry.mountPoint && deviceNumber === entry.deviceNumber && root === entry.root,
  );
  if (own) return true;
  if (entry.fileSystem === 'devtmpfs') return entry.root.endsWith(DELETED);
  return !(await blocks.numberExists(entry.deviceNumber));
}

/** For a person: "mounted at /a, /b". */
export function placesOf(entries: readonly MountEntry[]): string {
  return entries.map(({ mountPoint }) => mountPoint).join(', ');
}

export function noDevice(volume: string): AurochsError {
  return new AurochsError(
    'FAILED_PRECONDITION',
    `volume ${volume} has no device on this machine`,
    `Make one: aurochs volume attach ${volume} --device`,
  );
}
