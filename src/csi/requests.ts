/** What callers say, checked before anything is asked of the agent. Messages name fields, never secrets or options. */
import { AurochsError } from '../core/errors.js';
import {
  CSI_NAME_BYTES_MAX,
  CSI_VOLUME_BYTES_DEFAULT,
  VOLUME_BYTES_MAX,
  VOLUME_BYTES_MIN,
  VOLUME_BYTES_MULTIPLE,
} from '../core/limits.js';
import { formatSizeExact } from '../core/units.js';
import { FILE_SYSTEM_TYPES, type FileSystemType } from '../volume/model.js';
import type { CapacityRange__Output as CapacityRange } from './gen/csi/v1/CapacityRange.js';
import type {
  VolumeCapability__Output as VolumeCapability,
  _csi_v1_VolumeCapability_AccessMode_Mode__Output as AccessMode,
} from './gen/csi/v1/VolumeCapability.js';
import { shown } from './names.js';

function invalid(message: string, hint?: string): AurochsError {
  return new AurochsError('INVALID_ARGUMENT', message, hint);
}

export function required(field: string, value: string): string {
  if (value !== '') return value;
  throw invalid(`${field} is missing`);
}

/** A name that a CO gives to something new. */
export function requiredName(name: string): string {
  if (Buffer.byteLength(required('name', name)) <= CSI_NAME_BYTES_MAX) return name;
  throw invalid(`name is longer than ${CSI_NAME_BYTES_MAX} bytes`);
}

// -- Capabilities

interface ModeMeaning {
  readOnly: boolean;
  /** Several nodes may have the volume at once. */
  shared: boolean;
}

/** The access modes that there are here. */
const ACCESS_MODES: Readonly<Partial<Record<AccessMode, ModeMeaning>>> = {
  SINGLE_NODE_WRITER: { readOnly: false, shared: false },
  SINGLE_NODE_READER_ONLY: { readOnly: true, shared: false },
  MULTI_NODE_READER_ONLY: { readOnly: true, shared: true },
  SINGLE_NODE_SINGLE_WRITER: { readOnly: false, shared: false },
  SINGLE_NODE_MULTI_WRITER: { readOnly: false, shared: false },
};

export interface Capability extends ModeMeaning {
  kind: 'fileSystem' | 'block';
  mode: AccessMode;
  /** Empty when the CO leaves it to us, or with a block device. */
  fsType: string;
  mountFlags: string[];
}

export function capabilityOf(said: VolumeCapability | null): Capability {
  if (said === null) throw invalid('volume_capability is missing');
  const mode = said.accessMode?.mode ?? 'UNKNOWN';
  const meaning = ACCESS_MODES[mode];
  if (meaning === undefined) {
    const known = Object.keys(ACCESS_MODES).join(', ');
    throw invalid(`access mode ${mode} is not supported`, `Supported are ${known}.`);
  }
  const { accessType, mount } = said;
  if (accessType === undefined) throw invalid('volume_capability has no access_type');
  if ((mount?.volumeMountGroup ?? '') !== '') {
    throw invalid('volume_mount_group is not supported', 'The CO sets the group itself.');
  }
  return {
    ...meaning,
    mode,
    kind: accessType === 'block' ? 'block' : 'fileSystem',
    fsType: mount?.fsType ?? '',
    mountFlags: mount?.mountFlags ?? [],
  };
}

export function capabilitiesOf(said: readonly VolumeCapability[]): Capability[] {
  if (said.length === 0) throw invalid('volume_capabilities is missing');
  return said.map(capabilityOf);
}

// -- Sizes

export interface SizeRange {
  requiredBytes: bigint;
  /** Null: none. */
  limitBytes: bigint | null;
}

/** OUT_OF_RANGE when no size can be in it; null when the CO says nothing. */
export function sizeRangeOf(range: CapacityRange | null): SizeRange | null {
  const requiredBytes = BigInt(range?.requiredBytes ?? 0);
  const limit = BigInt(range?.limitBytes ?? 0);
  if (requiredBytes < 0n || limit < 0n) throw invalid('capacity_range is negative');
  if (requiredBytes === 0n && limit === 0n) return null;
  if (limit !== 0n && requiredBytes > limit) {
    throw outOfRange('required_bytes is more than limit_bytes');
  }
  return { requiredBytes, limitBytes: limit === 0n ? null : limit };
}

/** The size of a new volume: rounded up to whole blocks, at least its source's. */
export function newSize(range: SizeRange | null, sourceBytes: bigint | null): bigint {
  const required = range?.requiredBytes ?? 0n;
  const limit = range?.limitBytes ?? null;
  if (sourceBytes !== null && required > 0n && required < sourceBytes) {
    const has = formatSizeExact(sourceBytes);
    throw outOfRange(`${formatSizeExact(required)} is less than the source has (${has})`);
  }
  const least = required > 0n ? required : (sourceBytes ?? leastWithin(limit));
  const size = roundUp(least > VOLUME_BYTES_MIN ? least : VOLUME_BYTES_MIN);
  if (limit !== null && size > limit) {
    const shown = `${formatSizeExact(size)} is the smallest size that would do, limit_bytes is less`;
    throw outOfRange(shown);
  }
  if (size > VOLUME_BYTES_MAX) {
    throw outOfRange(`a volume has at most ${formatSizeExact(VOLUME_BYTES_MAX)}`);
  }
  return size;
}

function leastWithin(limit: bigint | null): bigint {
  if (limit === null || limit >= CSI_VOLUME_BYTES_DEFAULT) return CSI_VOLUME_BYTES_DEFAULT;
  return limit - (limit % VOLUME_BYTES_MULTIPLE);
}

export function roundUp(bytes: bigint): bigint {
  return ((bytes + VOLUME_BYTES_MULTIPLE - 1n) / VOLUME_BYTES_MULTIPLE) * VOLUME_BYTES_MULTIPLE;
}

export function isWithin(bytes: bigint, range: SizeRange | null): boolean {
  if (range === null) return true;
  const { requiredBytes, limitBytes } = range;
  return bytes >= requiredBytes && (limitBytes === null || bytes <= limitBytes);
}

export function outOfRange(message: string): AurochsError {
  return new AurochsError('OUT_OF_RANGE', message);
}

// -- File systems

export function isFileSystem(type: string): type is FileSystemType {
  return (FILE_SYSTEM_TYPES as readonly string[]).includes(type);
}

/** INVALID_ARGUMENT for a file system that volumes are not formatted with. */
export function checkFileSystems(capabilities: readonly Capability[]): void {
  for (const { fsType } of capabilities) {
    if (fsType === '' || isFileSystem(fsType)) continue;
    throw invalid(
      `file system ${shown(fsType)} is not supported`,
      `Supported are ${FILE_SYSTEM_TYPES.join(', ')}.`,
    );
  }
}
