/**
 * Resources as plain JSON, for every store. Byte counts and epochs are decimal strings, as a JSON number
 * stops being exact at 2^53. What is read is checked field by field (D2): a store may have been edited.
 */
import { AurochsError, isErrorCode } from '../core/errors.js';
import {
  type ChapSettings,
  DEVICE_FRONTENDS,
  type DeviceFrontend,
  type Disk,
  type Frontend,
  type GroupMember,
  PLAIN_FORM,
  type Problem,
  PROVISIONINGS,
  type Publication,
  type ReplicaPlace,
  type SnapshotGroup,
  type Volume,
  type VolumeDevice,
  type VolumeSource,
} from './model.js';
import type { Kind, Kinds, NodeIdentity } from './ports.js';

type Json = Record<string, unknown>;

/** Reads the fields of one object; errors name the path of the field. */
class Fields {
  readonly #object: Json;

  constructor(
    value: unknown,
    readonly path: string,
  ) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw corrupt(path, 'an object', value);
    }
    this.#object = value as Json;
  }

  string(name: string): string {
    const value = this.#object[name];
    if (typeof value !== 'string') throw corrupt(`${this.path}.${name}`, 'a string', value);
    return value;
  }

  optionalString(name: string): string | undefined {
    return this.#object[name] === undefined ? undefined : this.string(name);
  }

  nullableString(name: string): string | null {
    return this.#object[name] === null ? null : this.string(name);
  }

  /** Of a field that older versions did not write. */
  optionalNullableString(name: string): string | null {
    return this.#object[name] === undefined ? null : this.nullableString(name);
  }

  boolean(name: string): boolean {
    const value = this.#object[name];
    if (typeof value !== 'boolean') throw corrupt(`${this.path}.${name}`, 'true or false', value);
    return value;
  }

  /** Of a field that older versions did not write. */
  optionalBoolean(name: string): boolean | undefined {
    return this.#object[name] === undefined ? undefined : this.boolean(name);
  }

  time(name: string): number {
    const value = this.#object[name];
    if (!Number.isSafeInteger(value)) throw corrupt(`${this.path}.${name}`, 'a time', value);
    return value as number;
  }

  count(name: string): bigint {
    const value = this.#object[name];
    if (typeof value !== 'string' || !/^\d{1,20}$/.test(value)) {
      throw corrupt(`${this.path}.${name}`, 'a decimal count', value);
    }
    return BigInt(value);
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T {
    const value = this.#object[name];
    const found = allowed.find((each) => each === value);
    if (found === undefined) throw corrupt(`${this.path}.${name}`, allowed.join(' | '), value);
    return found;
  }

  optionalOneOf<T extends string>(name: string, allowed: readonly T[]): T | undefined {
    return this.#object[name] === undefined ? undefined : this.oneOf(name, allowed);
  }

  object(name: string): Fields {
    return new Fields(this.#object[name], `${this.path}.${name}`);
  }

  nullableObject(name: string): Fields | null {
    return this.#object[name] === null ? null : this.object(name);
  }

  /** Of a field that older versions did not write. */
  optionalObject(name: string): Fields | null {
    return this.#object[name] === undefined ? null : this.nullableObject(name);
  }

  array<T>(name: string, decode: (value: unknown, path: string) => T): T[] {
    const value = this.#object[name];
    if (!Array.isArray(value)) throw corrupt(`${this.path}.${name}`, 'a list', value);
    return value.map((each, index) => decode(each, `${this.path}.${name}[${index}]`));
  }

  /** Of a field that older versions did not write. */
  optionalArray<T>(name: string, decode: (value: unknown, path: string) => T): T[] {
    return this.#object[name] === undefined ? [] : this.array(name, decode);
  }

  strings(name: string): string[] {
    return this.array(name, asString);
  }

  /** Of a field that older versions did not write. */
  optionalStrings(name: string): string[] {
    return this.optionalArray(name, asString);
  }

  /** Of a field that older versions did not write. */
  optionalTexts(name: string): Record<string, string> {
    if (this.#object[name] === undefined) return {};
    const { path } = this.object(name);
    const texts = Object.entries(this.#object[name] as Json);
    return Object.fromEntries(texts.map(([key, text]) => [key, asString(text, `${path}.${key}`)]));
  }
}

function asString(value: unknown, path: string): string {
  if (typeof value !== 'string') throw corrupt(path, 'a string', value);
  return value;
}

function corrupt(path: string, expected: string, found: unknown): AurochsError {
  const shown = (JSON.stringify(found) ?? 'nothing').slice(0, 60);
  return new AurochsError(
    'CORRUPTION',
    `store: ${path} should be ${expected}, found ${shown}`,
    'The store was changed by something else. Restore it from a copy, or correct this field.',
  );
}

function decodeProblem(fields: Fields | null): Problem | null {
  if (fields === null) return null;
  const code = fields.string('code');
  const hint = fields.optionalString('hint');
  return {
    code: isErrorCode(code) ? code : 'INTERNAL', // A newer version may know more codes.
    message: fields.string('message'),
    ...(hint === undefined ? {} : { hint }),
  };
}

function decodeChap(fields: Fields | null): ChapSettings | null {
  if (fields === null) return null;
  const mutualUser = fields.optionalString('mutualUser');
  const mutualSecret = fields.optionalString('mutualSecret');
  return {
    user: fields.string('user'),
    secret: fields.string('secret'),
    ...(mutualUser === undefined ? {} : { mutualUser }),
    ...(mutualSecret === undefined ? {} : { mutualSecret }),
  };
}

function decodeReplica(value: unknown, path: string): ReplicaPlace {
  const fields = new Fields(value, path);
  return {
    id: fields.string('id'),
    nodeId: fields.string('nodeId'),
    diskId: fields.string('diskId'),
    directory: fields.string('directory'),
    failed: fields.nullableString('failed'),
  };
}

function decodeFrontend(value: unknown, path: string): Frontend {
  if (value !== 'iscsi' && value !== 'nbd') throw corrupt(path, 'iscsi | nbd', value);
  return value;
}

function decodeDeviceWish(fields: Fields | null): { frontend: DeviceFrontend } | null {
  return fields === null ? null : { frontend: fields.oneOf('frontend', DEVICE_FRONTENDS) };
}

function decodeDevice(fields: Fields | null): VolumeDevice | null {
  if (fields === null) return null;
  return {
    path: fields.string('path'),
    kernelPath: fields.string('kernelPath'),
    frontend: fields.oneOf('frontend', ['iscsi', 'nbd']),
    why: fields.string('why'),
    sizeBytes: fields.count('sizeBytes'),
  };
}

function decodeSource(fields: Fields | null): VolumeSource | null {
  if (fields === null) return null;
  return {
    volumeId: fields.string('volumeId'),
    volume: fields.string('volume'),
    snapshotId: fields.string('snapshotId'),
    temporary: fields.boolean('temporary'),
  };
}

function decodePublication(value: unknown, path: string): Publication {
  const fields = new Fields(value, path);
  return {
    nodeId: fields.string('nodeId'),
    readOnly: fields.boolean('readOnly'),
    shared: fields.boolean('shared'),
  };
}

function decodeVolume(value: unknown): Volume {
  const fields = new Fields(value, 'volume');
  const desired = fields.object('desired');
  return {
    id: fields.string('id'),
    name: fields.string('name'),
    sizeBytes: fields.count('sizeBytes'),
    createdUnixMs: fields.time('createdUnixMs'),
    desired: {
      attached: desired.boolean('attached'),
      frontends: desired.array('frontends', decodeFrontend),
      readOnly: desired.boolean('readOnly'),
      removable: desired.optionalBoolean('removable') ?? PLAIN_FORM.removable,
      provisioning: desired.optionalOneOf('provisioning', PROVISIONINGS) ?? PLAIN_FORM.provisioning,
      device: decodeDeviceWish(desired.optionalObject('device')),
      sizeBytes: desired.count('sizeBytes'),
      deleted: desired.boolean('deleted'),
    },
    labels: fields.optionalTexts('labels'),
    source: decodeSource(fields.optionalObject('source')),
    publications: fields.optionalArray('publications', decodePublication),
    chap: decodeChap(fields.nullableObject('chap')),
    initiators: fields.strings('initiators'),
    epoch: fields.count('epoch'),
    replicas: fields.array('replicas', decodeReplica),
    merging: fields.boolean('merging'),
    unwanted: fields.optionalStrings('unwanted'),
    state: fields.oneOf('state', [
      'creating',
      'detached',
      'attaching',
      'attached',
      'detaching',
      'deleting',
    ]),
    robustness: fields.oneOf('robustness', ['healthy', 'degraded', 'faulted', 'unknown']),
    device: decodeDevice(fields.optionalObject('device')),
    problem: decodeProblem(fields.nullableObject('problem')),
  };
}

function decodeDisk(value: unknown): Disk {
  const fields = new Fields(value, 'disk');
  return {
    id: fields.string('id'),
    nodeId: fields.string('nodeId'),
    path: fields.string('path'),
    tags: fields.optionalStrings('tags'),
    createdUnixMs: fields.time('createdUnixMs'),
    fileSystem: fields.string('fileSystem'),
    totalBytes: fields.count('totalBytes'),
    freeBytes: fields.count('freeBytes'),
    fileBytesMax: fields.count('fileBytesMax'),
    leftovers: fields.strings('leftovers'),
    problem: decodeProblem(fields.nullableObject('problem')),
  };
}

function decodeNode(value: unknown): NodeIdentity {
  const fields = new Fields(value, 'node');
  return {
    id: fields.string('id'),
    name: fields.string('name'),
    zone: fields.optionalNullableString('zone'),
    tags: fields.optionalStrings('tags'),
    createdUnixMs: fields.time('createdUnixMs'),
  };
}

function decodeMember(value: unknown, path: string): GroupMember {
  const fields = new Fields(value, path);
  return {
    volumeId: fields.string('volumeId'),
    volume: fields.string('volume'),
    snapshotId: fields.string('snapshotId'),
    sizeBytes: fields.count('sizeBytes'),
  };
}

function decodeGroup(value: unknown): SnapshotGroup {
  const fields = new Fields(value, 'snapshotGroup');
  return {
    id: fields.string('id'),
    name: fields.string('name'),
    createdUnixMs: fields.time('createdUnixMs'),
    state: fields.oneOf('state', ['taking', 'taken']),
    members: fields.array('members', decodeMember),
  };
}

const DECODE: { [K in Kind]: (value: unknown) => Kinds[K] } = {
  volume: decodeVolume,
  disk: decodeDisk,
  snapshotGroup: decodeGroup,
  node: decodeNode,
};

export const KINDS = Object.keys(DECODE) as Kind[];

/** Plain JSON of a resource; only bigint needs a word. */
export function encodeResource<K extends Kind>(value: Kinds[K]): unknown {
  return JSON.parse(encodeResourceText(value));
}

export function encodeResourceText<K extends Kind>(value: Kinds[K]): string {
  return JSON.stringify(value, (_key, each: unknown) =>
    typeof each === 'bigint' ? each.toString() : each,
  );
}

/** CORRUPTION names the field that is missing or wrong. Unknown fields are ignored. */
export function decodeResource<K extends Kind>(kind: K, value: unknown): Kinds[K] {
  return DECODE[kind](value);
}
