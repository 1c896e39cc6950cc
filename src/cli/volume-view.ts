/** How one volume is shown to a person. */
import type { DeviceBody, VolumeBody } from '../api/types.js';
import { formatSize, formatSizeExact } from '../core/units.js';
import { formatTime, type Output } from './output.js';
import { recipesFor } from './recipes.js';

export function volumeFields(volume: VolumeBody): [string, string][] {
  const fields: [string, string][] = [
    ['name', volume.name],
    ['id', volume.id],
    ['size', `${formatSizeExact(BigInt(volume.sizeBytes))} (${volume.sizeBytes} bytes)`],
    ['allocated', allocated(volume)],
    ['state', [volume.state, ...copied(volume), ...form(volume)].join(', ')],
    ['robustness', volume.robustness],
    ['created', formatTime(volume.createdAt)],
    ['CHAP', chap(volume)],
    ['initiators', volume.initiators.length === 0 ? 'all' : volume.initiators.join(', ')],
  ];
  if (volume.source !== null) fields.push(['made of', sourceInWords(volume.source)]);
  for (const [key, value] of Object.entries(volume.labels)) {
    fields.push(['label', `${key}=${value}`]);
  }
  for (const { nodeId, readOnly, shared } of volume.publications) {
    const how = [readOnly ? 'read-only' : 'for writing', ...(shared ? ['shared'] : [])];
    fields.push(['published', `to node ${nodeId}, ${how.join(', ')}`]);
  }
  if (volume.device !== null) fields.push(['device', deviceInWords(volume.device)]);
  for (const replica of volume.replicas) {
    fields.push(['replica', `${replica.diskPath}/replicas/${replica.directory}`]);
  }
  if (volume.problem !== null) {
    fields.push(['problem', volume.problem.message]);
    if (volume.problem.hint !== undefined) fields.push(['next', volume.problem.hint]);
  }
  return fields;
}

/** "/dev/aurochs/db (/dev/sda) over iSCSI, as …" */
export function deviceInWords({ path, kernelPath, frontend, why }: DeviceBody): string {
  const word = frontend === 'iscsi' ? 'iSCSI' : 'NBD';
  return `${path} (${kernelPath}) over ${word}: ${why}`;
}

/** What to type next with a new device. */
export function printDeviceUse(output: Output, volume: string, path: string): void {
  output.line('\nWith a file system on it (a blank volume is formatted first):');
  output.line(`  aurochs volume mount ${volume} /mnt/${volume}`);
  output.line('or by hand:');
  output.line(`  mkfs.ext4 ${path}   # once, while it is blank`);
  output.line(`  mkdir -p /mnt/${volume} && mount ${path} /mnt/${volume}`);
}

function allocated(volume: VolumeBody): string {
  return volume.allocatedBytes === null
    ? 'not known yet'
    : formatSize(BigInt(volume.allocatedBytes));
}

function copied({ copyShare }: VolumeBody): string[] {
  return copyShare === null ? [] : [`${Math.floor(copyShare * 100)}% copied`];
}

function sourceInWords({ volume, snapshot }: NonNullable<VolumeBody['source']>): string {
  return snapshot === null ? `volume ${volume}` : `snapshot ${snapshot} of volume ${volume}`;
}

function form({ readOnly, removable, provisioning }: VolumeBody): string[] {
  const words: string[] = [];
  if (readOnly) words.push('read-only');
  if (removable) words.push('removable');
  if (provisioning === 'full') words.push('fully provisioned');
  return words;
}

function chap(volume: VolumeBody): string {
  if (volume.chap === null) return 'none';
  const { user, mutualUser } = volume.chap;
  return mutualUser === undefined ? user : `${user}, mutual ${mutualUser}`;
}

/** The addresses and the lines to paste; nothing when the volume is not attached. */
export function printAddresses(output: Output, volume: VolumeBody): void {
  for (const address of volume.exports) {
    output.line(`\n${address.uri}`);
    for (const { title, lines } of recipesFor(address, volume.chap)) {
      output.line(`  ${title}:`);
      for (const line of lines) output.line(`    ${line}`);
    }
  }
  if (volume.chap !== null && volume.exports.some(({ frontend }) => frontend === 'iscsi')) {
    output.line('\nPut the CHAP secrets of this volume in the place of SECRET and MUTUAL-SECRET.');
  }
}
