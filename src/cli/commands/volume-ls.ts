import type { VolumeBody } from '../../api/types.js';
import { formatSize } from '../../core/units.js';
import { command } from '../command.js';
import { type Column, formatTime } from '../output.js';

const COLUMNS: readonly Column<VolumeBody>[] = [
  { title: 'NAME', value: (volume) => volume.name },
  { title: 'SIZE', value: (volume) => formatSize(BigInt(volume.sizeBytes)), align: 'right' },
  { title: 'ALLOCATED', value: allocated, align: 'right' },
  { title: 'STATE', value: (volume) => volume.state },
  { title: 'ROBUSTNESS', value: (volume) => volume.robustness },
  {
    title: 'FRONTENDS',
    value: (volume) => [...new Set(volume.exports.map((e) => e.frontend))].join(', ') || '-',
  },
  { title: 'DEVICE', value: (volume) => volume.device?.path ?? '-' },
  { title: 'CREATED', value: (volume) => formatTime(volume.createdAt) },
  { title: 'PROBLEM', value: (volume) => volume.problem?.code ?? '-' },
];

function allocated(volume: VolumeBody): string {
  return volume.allocatedBytes === null ? '-' : formatSize(BigInt(volume.allocatedBytes));
}

export const volumeLs = command({
  usage: 'ls',
  describe: 'List the volumes',
  examples: [
    ['$0 volume ls', 'as a table'],
    ['$0 volume ls -o json', 'for programs; byte counts are strings of digits'],
  ],
  positionals: {},
  options: {},
  run: async ({ api, output }) => {
    const empty = 'No volumes. Create one with: aurochs volume create NAME --size 10GiB';
    output.list(await api.volumes(), COLUMNS, empty);
  },
});
