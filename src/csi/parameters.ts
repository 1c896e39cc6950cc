/**
 * The parameters of a storage class, by the names that Longhorn's users know. They are kept in labels of the volume, so
 * that a repeated call can be compared with what is there. No message repeats a value: only keys and what may be said.
 */
import { AurochsError } from '../core/errors.js';
import { CSI_MKFS_ARGUMENTS_MAX, CSI_MKFS_PARAMS_CHARS_MAX } from '../core/limits.js';
import { DEVICE_FRONTENDS, FILE_SYSTEM_TYPES } from '../volume/model.js';

interface Parameter {
  /** Of the volume, behind LABEL_PREFIX. */
  label: string;
  initial: string;
  /** ControllerModifyVolume may change it. */
  mutable: boolean;
  /** What may be said, for a person. */
  expected: string;
  /** The value in its one form; null when it is none. */
  parse: (value: string) => string | null;
}

export const LABEL_PREFIX = 'csi.aurochs.io/';
export const NAME_LABEL = `${LABEL_PREFIX}name`;
/** A mutable parameter of this form sets a label of the user's own. */
const USER_LABEL = 'label/';

function oneOf(...values: readonly string[]): Pick<Parameter, 'expected' | 'parse'> {
  return {
    expected: `one of ${values.join(', ')}`,
    parse: (value) => (values.includes(value) ? value : null),
  };
}

function count(min: number, max: number): Pick<Parameter, 'expected' | 'parse'> {
  return {
    expected: `a whole number from ${min} to ${max}`,
    parse: (value) => {
      const number = /^\d{1,9}$/.test(value) ? Number(value) : -1;
      return number >= min && number <= max ? String(number) : null;
    },
  };
}

const TAG = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;

const TAGS: Pick<Parameter, 'expected' | 'parse'> = {
  expected: 'tags with commas between them',
  parse: (value) => {
    const tags = value.split(',').map((tag) => tag.trim());
    if (value.trim() === '') return '';
    return tags.every((tag) => TAG.test(tag)) ? [...new Set(tags)].sort().join(',') : null;
  },
};

/** Which of them mkfs may be given is for the agent to say, that runs it. */
const MKFS: Pick<Parameter, 'expected' | 'parse'> = {
  expected: `up to ${CSI_MKFS_ARGUMENTS_MAX} arguments of mkfs with blanks between them, the first an option`,
  parse: (value) => {
    const words = mkfsArguments(value);
    const text = words.join(' ');
    const usable = words.every((word) => /^[\w.,=:+/^-]+$/.test(word));
    const bounded =
      words.length <= CSI_MKFS_ARGUMENTS_MAX && text.length <= CSI_MKFS_PARAMS_CHARS_MAX;
    return usable && bounded && (text === '' || text.startsWith('-')) ? text : null;
  },
};

const ANTI_AFFINITY = oneOf('ignored', 'enabled', 'disabled');
const REPLICAS_MAX = 20;
const STALE_MINUTES_MAX = 525_600; // A year.
const STALE_MINUTES = '2880';

export const PARAMETERS = {
  numberOfReplicas: fixed('number-of-replicas', '1', count(1, REPLICAS_MAX)),
  staleReplicaTimeout: changing(
    'stale-replica-timeout',
    STALE_MINUTES,
    count(0, STALE_MINUTES_MAX),
  ),
  dataLocality: changing(
    'data-locality',
    'disabled',
    oneOf('disabled', 'best-effort', 'strict-local'),
  ),
  diskSelector: fixed('disk-selector', '', TAGS),
  nodeSelector: fixed('node-selector', '', TAGS),
  fsType: fixed('fs-type', 'ext4', oneOf(...FILE_SYSTEM_TYPES)),
  mkfsParams: fixed('mkfs-params', '', MKFS),
  replicaSoftAntiAffinity: changing('replica-soft-anti-affinity', 'ignored', ANTI_AFFINITY),
  replicaZoneSoftAntiAffinity: changing(
    'replica-zone-soft-anti-affinity',
    'ignored',
    ANTI_AFFINITY,
  ),
  replicaDiskSoftAntiAffinity: changing(
    'replica-disk-soft-anti-affinity',
    'ignored',
    ANTI_AFFINITY,
  ),
  encrypted: fixed('encrypted', 'false', oneOf('true', 'false')),
  frontend: fixed('frontend', 'auto', oneOf(...DEVICE_FRONTENDS)),
  dataEngine: fixed('data-engine', 'v1', oneOf('v1')),
} as const satisfies Record<string, Parameter>;

function fixed(label: string, initial: string, kind: Pick<Parameter, 'expected' | 'parse'>) {
  return { label, initial, mutable: false, ...kind };
}

function changing(label: string, initial: string, kind: Pick<Parameter, 'expected' | 'parse'>) {
  return { label, initial, mutable: true, ...kind };
}

export type ParameterName = keyof typeof PARAMETERS;
export const PARAMETER_NAMES = Object.keys(PARAMETERS) as ParameterName[];
export type Settings = Record<ParameterName, string>;

/** Other names under which Kubernetes or a user may say the same. */
const ALIASES: Readonly<Record<string, ParameterName>> = { 'csi.storage.k8s.io/fstype': 'fsType' };

/** What the external-provisioner adds: kept as labels, for people. */
export const ABOUT: Readonly<Record<string, string>> = {
  'csi.storage.k8s.io/pv/name': `${LABEL_PREFIX}pv-name`,
  'csi.storage.k8s.io/pvc/name': `${LABEL_PREFIX}pvc-name`,
  'csi.storage.k8s.io/pvc/namespace': `${LABEL_PREFIX}pvc-namespace`,
};

/** What the external-snapshotter adds, and the one kind of snapshot that there is. */
const SNAPSHOT_PARAMETERS: Readonly<Record<string, RegExp>> = {
  'csi.storage.k8s.io/volumesnapshot/name': /^/,
  'csi.storage.k8s.io/volumesnapshot/namespace': /^/,
  'csi.storage.k8s.io/volumesnapshotcontent/name': /^/,
  'csi.storage.k8s.io/volumegroupsnapshot/name': /^/,
  'csi.storage.k8s.io/volumegroupsnapshot/namespace': /^/,
  'csi.storage.k8s.io/volumegroupsnapshotcontent/name': /^/,
  type: /^snap$/,
};

export type StringMap = Readonly<Record<string, string>>;

export interface ClassParameters {
  settings: Settings;
  /** Labels that say whose volume it is. */
  about: Record<string, string>;
}

function invalid(message: string, hint?: string): AurochsError {
  return new AurochsError('INVALID_ARGUMENT', message, hint);
}

function nameOf(key: string): ParameterName | null {
  const name = Object.hasOwn(ALIASES, key) ? ALIASES[key] : key;
  return PARAMETER_NAMES.find((each) => each === name) ?? null;
}

function parsed(key: string, name: ParameterName, value: string): string {
  const { parse, expected } = PARAMETERS[name];
  const normal = parse(value);
  if (normal === null)
    throw invalid(`parameter ${key} has a value that is not usable`, `Use ${expected}.`);
  return normal;
}

/** INVALID_ARGUMENT names an unknown key, and the known ones. */
export function parseParameters(parameters: StringMap): ClassParameters {
  const said: Partial<Settings> = {};
  const about: Record<string, string> = {};
  for (const [key, value] of Object.entries(parameters)) {
    const label = Object.hasOwn(ABOUT, key) ? ABOUT[key] : undefined;
    if (label !== undefined) {
      about[label] = value;
      continue;
    }
    const name = nameOf(key);
    if (name === null) {
      const known = [...PARAMETER_NAMES, ...Object.keys(ALIASES), ...Object.keys(ABOUT)];
      throw invalid(`parameter ${key} is not known`, `Known are ${known.join(', ')}.`);
    }
    const normal = parsed(key, name, value);
    if (said[name] !== undefined && said[name] !== normal) {
      throw invalid(`parameter ${key} contradicts parameter ${name}`, 'Give one of them.');
    }
    said[name] = normal;
  }
  return { settings: { ...INITIAL, ...said }, about };
}

const INITIAL = Object.fromEntries(
  PARAMETER_NAMES.map((name) => [name, PARAMETERS[name].initial]),
) as Settings;

/** Labels that the mutable parameters ask for; INVALID_ARGUMENT names what cannot be changed. */
export function parseMutable(parameters: StringMap): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [key, value] of Object.entries(parameters)) {
    if (key.startsWith(USER_LABEL)) {
      const label = key.slice(USER_LABEL.length);
      if (label.startsWith(LABEL_PREFIX)) {
        throw invalid(`parameter ${key}: labels of ${LABEL_PREFIX} are the driver's own`);
      }
      labels[label] = value;
      continue;
    }
    const name = nameOf(key);
    if (name === null || !PARAMETERS[name].mutable) {
      const known = PARAMETER_NAMES.filter((each) => PARAMETERS[each].mutable);
      const hint = `Mutable are ${known.join(', ')} and ${USER_LABEL}<key>.`;
      throw invalid(`parameter ${key} cannot be changed`, hint);
    }
    labels[labelOf(name)] = parsed(key, name, value);
  }
  return labels;
}

/** INVALID_ARGUMENT names what a snapshot class cannot say. */
export function checkSnapshotParameters(parameters: StringMap): void {
  for (const [key, value] of Object.entries(parameters)) {
    const form = Object.hasOwn(SNAPSHOT_PARAMETERS, key) ? SNAPSHOT_PARAMETERS[key] : undefined;
    if (form?.test(value) === true) continue;
    const known = `Known is type=snap, besides what the external-snapshotter adds.`;
    throw invalid(`parameter ${key} of a snapshot is not usable`, known);
  }
}

export function labelOf(name: ParameterName): string {
  return LABEL_PREFIX + PARAMETERS[name].label;
}

export function labelsOf(settings: Settings): Record<string, string> {
  return Object.fromEntries(PARAMETER_NAMES.map((name) => [labelOf(name), settings[name]]));
}

/**
 * What a volume was made with. One that was not made through CSI has no labels; then the volume context says it, which
 * whoever writes the PersistentVolume may fill with parameters.
 */
export function settingsOf(labels: StringMap, volumeContext: StringMap = {}): Settings {
  const settings = { ...INITIAL };
  for (const name of PARAMETER_NAMES) {
    const said = labels[labelOf(name)] ?? volumeContext[name];
    if (said !== undefined) settings[name] = parsed(name, name, said);
  }
  return settings;
}

/** The first immutable parameter in which a volume differs from what is asked for; null when there is none. */
export function firstDifference(labels: StringMap, asked: Settings): ParameterName | null {
  const fixedNames = PARAMETER_NAMES.filter((name) => !PARAMETERS[name].mutable);
  return fixedNames.find((name) => labels[labelOf(name)] !== asked[name]) ?? null;
}

export function tagsOf(list: string): string[] {
  return list === '' ? [] : list.split(',');
}

export function mkfsArguments(params: string): string[] {
  return params.split(/\s+/).filter((word) => word !== '');
}
