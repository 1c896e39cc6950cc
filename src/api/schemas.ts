/**
 * JSON schemas of everything that the API takes and sends; types.ts has the same as TypeScript types.
 * Requests may carry no field that is not here. Answers are written by these schemas: what is not here
 * is not sent.
 */
import { ERROR_CODES } from '../core/errors.js';
import {
  API_PARAM_CHARS_MAX,
  CHAP_SECRET_BYTES_MAX,
  CHAP_USER_CHARS_MAX,
  CIPHER_CHARS_MAX,
  DISK_PATH_CHARS_MAX,
  FORMAT_OPTION_CHARS_MAX,
  FORMAT_OPTIONS_MAX,
  INITIATORS_MAX,
  INITIATOR_NAME_CHARS_MAX,
  KEY_SIZE_BITS_MAX,
  MOUNT_OPTION_CHARS_MAX,
  MOUNT_OPTIONS_MAX,
  LABEL_KEY_CHARS_MAX,
  LABEL_VALUE_CHARS_MAX,
  MOUNT_POINT_CHARS_MAX,
  NODE_NAME_CHARS_MAX,
  NODES_NAMED_MAX,
  SNAPSHOT_GROUP_VOLUMES_MAX,
  TAGS_MAX,
  WORD_CHARS_MAX,
  PASSPHRASE_CHARS_MAX,
} from '../core/limits.js';
import { FRONTENDS } from '../volume/exports.js';
import {
  DEVICE_FRONTENDS,
  FILE_SYSTEM_TYPES,
  KEY_DERIVATIONS,
  PROVISIONINGS,
} from '../volume/model.js';

declare module 'fastify' {
  interface FastifySchema {
    /** One line for the OpenAPI document. */
    summary?: string;
  }
}

export type JsonSchema = Readonly<Record<string, unknown>>;

const string = { type: 'string' } as const;
const boolean = { type: 'boolean' } as const;
const byteCount = {
  type: 'string',
  pattern: '^\\d{1,20}$',
  description: 'bytes, in decimal',
} as const;
const timestamp = { type: 'string', description: 'RFC 3339, UTC' } as const;
const size = {
  type: 'string',
  minLength: 1,
  maxLength: 40,
  description: 'bytes in decimal, or with a unit: "10GiB"',
} as const;
const path = { type: 'string', minLength: 1, maxLength: MOUNT_POINT_CHARS_MAX } as const;
const frontend = { type: 'string', enum: FRONTENDS } as const;
const nodeText = { type: 'string', minLength: 1, maxLength: NODE_NAME_CHARS_MAX } as const;
const labelText = { type: 'string', maxLength: LABEL_VALUE_CHARS_MAX } as const;
const paramText = { type: 'string', minLength: 1, maxLength: API_PARAM_CHARS_MAX } as const;

function ref(id: string): JsonSchema {
  return { $ref: `${id}#` };
}

function nullable(schema: JsonSchema): JsonSchema {
  return { anyOf: [schema, { type: 'null' }] };
}

function array(items: JsonSchema, limits: JsonSchema = {}): JsonSchema {
  return { type: 'array', items, ...limits };
}

/** An object; every property is required unless its name is in `optional`. */
function object(properties: Record<string, JsonSchema>, optional: string[] = []): JsonSchema {
  return {
    type: 'object',
    properties,
    required: Object.keys(properties).filter((name) => !optional.includes(name)),
    additionalProperties: false,
  };
}

/** An object whose keys are labels. */
function labelMap(value: JsonSchema): JsonSchema {
  return {
    type: 'object',
    propertyNames: { maxLength: LABEL_KEY_CHARS_MAX },
    additionalProperties: value,
  };
}

const tags = array(
  { type: 'string', minLength: 1, maxLength: WORD_CHARS_MAX },
  { maxItems: TAGS_MAX },
);

const problem = object(
  { code: { type: 'string', enum: ERROR_CODES }, message: string, hint: string },
  ['hint'],
);

const chapRequest = object(
  {
    user: { type: 'string', maxLength: CHAP_USER_CHARS_MAX },
    secret: { type: 'string', maxLength: CHAP_SECRET_BYTES_MAX },
    mutualUser: { type: 'string', maxLength: CHAP_USER_CHARS_MAX },
    mutualSecret: { type: 'string', maxLength: CHAP_SECRET_BYTES_MAX },
  },
  ['mutualUser', 'mutualSecret'],
);

const initiatorNames = array(
  { type: 'string', maxLength: INITIATOR_NAME_CHARS_MAX },
  { maxItems: INITIATORS_MAX },
);
const mountOptions = array(
  { type: 'string', minLength: 1, maxLength: MOUNT_OPTION_CHARS_MAX },
  { maxItems: MOUNT_OPTIONS_MAX },
);
const stagingKind: JsonSchema = { type: 'string', enum: ['fileSystem', 'block'] };
const count = { type: 'string', pattern: '^\\d{1,20}$' } as const;
const encryption = object(
  {
    passphrase: { type: 'string', minLength: 1, maxLength: PASSPHRASE_CHARS_MAX },
    cipher: {
      type: 'string',
      pattern: `^(?!cipher_null)[a-z0-9][a-z0-9:()_-]{0,${CIPHER_CHARS_MAX - 1}}$`,
    },
    keySizeBits: { type: 'integer', minimum: 128, maximum: KEY_SIZE_BITS_MAX, multipleOf: 8 },
    pbkdf: { type: 'string', enum: KEY_DERIVATIONS },
  },
  ['cipher', 'keySizeBits', 'pbkdf'],
);
const provisioning: JsonSchema = { type: 'string', enum: PROVISIONINGS };

const chapAnswer = object(
  { user: string, secret: string, mutualUser: string, mutualSecret: string },
  ['secret', 'mutualUser', 'mutualSecret'],
);

const health = object({
  state: { type: 'string', enum: ['starting', 'ready', 'stopping'] },
  version: string,
  pid: { type: 'integer' },
  uptimeMs: { type: 'integer' },
  ioBackend: { type: 'string', enum: ['io_uring', 'epoll'] },
  dataDir: string,
  addresses: object({ iscsi: array(string), nbd: array(string), api: string }),
  volumes: object({
    total: { type: 'integer' },
    attached: { type: 'integer' },
    faulted: { type: 'integer' },
  }),
});

const volume = object({
  id: string,
  name: string,
  labels: labelMap(string),
  sizeBytes: byteCount,
  allocatedBytes: nullable(byteCount),
  createdAt: timestamp,
  state: {
    type: 'string',
    enum: ['creating', 'detached', 'attaching', 'attached', 'detaching', 'deleting'],
  },
  robustness: { type: 'string', enum: ['healthy', 'degraded', 'faulted', 'unknown'] },
  desiredAttached: boolean,
  frontends: array(frontend),
  readOnly: boolean,
  removable: boolean,
  provisioning,
  epoch: string,
  chap: nullable(chapAnswer),
  initiators: array(string),
  replicas: array(
    object({ id: string, nodeId: string, diskId: string, diskPath: string, directory: string }),
  ),
  source: nullable(object({ volume: string, snapshot: nullable(string) })),
  copyShare: nullable({ type: 'number' }),
  publications: array(object({ nodeId: string, readOnly: boolean, shared: boolean })),
  exports: array(object({ frontend, uri: string, address: string, name: string })),
  device: nullable(object({ path: string, kernelPath: string, frontend, why: string })),
  problem: nullable(ref('Problem')),
});

const snapshot = object({
  id: string,
  name: string,
  volume: string,
  parent: nullable(string),
  createdAt: timestamp,
  sizeBytes: byteCount,
  allocatedBytes: byteCount,
  removing: boolean,
  mergeShare: nullable({ type: 'number' }),
  headParent: boolean,
  group: nullable(string),
});

const group = object({
  id: string,
  name: string,
  createdAt: timestamp,
  members: array(object({ volume: string, snapshot: string, sizeBytes: byteCount })),
});

const node = object({
  id: string,
  name: string,
  zone: nullable(string),
  tags: array(string),
  createdAt: timestamp,
});

const disk = object({
  id: string,
  nodeId: string,
  path: string,
  tags: array(string),
  createdAt: timestamp,
  fileSystem: string,
  totalBytes: byteCount,
  freeBytes: byteCount,
  fileBytesMax: byteCount,
  replicas: { type: 'integer' },
  leftovers: array(string),
  problem: nullable(ref('Problem')),
});

const session = object({
  frontend,
  volume: string,
  export: string,
  initiator: string,
  address: string,
});

const diff = object({
  from: nullable(string),
  to: nullable(string),
  runs: array(
    object({
      offsetBytes: byteCount,
      lengthBytes: byteCount,
      state: { type: 'string', enum: ['data', 'hole'] },
    }),
  ),
  nextOffsetBytes: nullable(byteCount),
});

const finding = object(
  {
    check: string,
    severity: { type: 'string', enum: ['ok', 'warning', 'error'] },
    message: string,
    meaning: string,
    hint: string,
  },
  ['meaning', 'hint'],
);

/** Named schemas, as the OpenAPI document calls them. */
export const COMPONENTS: Readonly<Record<string, JsonSchema>> = {
  Problem: problem,
  Error: object({ error: ref('Problem') }),
  Health: health,
  Volume: volume,
  VolumeList: object({ items: array(ref('Volume')) }),
  VolumeCreate: object(
    {
      name: paramText,
      size,
      disk: { type: 'string', minLength: 1, maxLength: DISK_PATH_CHARS_MAX },
      diskTags: tags,
      nodeTags: tags,
      nodes: array(nodeText, { minItems: 1, maxItems: NODES_NAMED_MAX }),
      labels: labelMap(labelText),
      source: object({ volume: paramText, snapshot: paramText }, ['snapshot']),
      chap: chapRequest,
      initiators: initiatorNames,
    },
    ['disk', 'diskTags', 'nodeTags', 'nodes', 'labels', 'source', 'chap', 'initiators'],
  ),
  VolumeAttach: optionalBody({
    frontends: array(frontend, { minItems: 1, maxItems: 2, uniqueItems: true }),
    device: object({ frontend: { type: 'string', enum: DEVICE_FRONTENDS } }),
    readOnly: boolean,
    removable: boolean,
    provisioning,
  }),
  VolumeAccess: object({ chap: nullable(chapRequest), initiators: initiatorNames }, [
    'chap',
    'initiators',
  ]),
  VolumeDetach: optionalBody({ force: boolean }),
  VolumePublish: object(
    {
      node: nodeText,
      readOnly: boolean,
      shared: boolean,
      frontend: { type: 'string', enum: DEVICE_FRONTENDS },
    },
    ['readOnly', 'shared', 'frontend'],
  ),
  VolumeUnpublish: optionalBody({ node: nodeText }),
  VolumeLabels: object({ labels: labelMap(nullable(labelText)) }),
  VolumeExpand: object({ size }),
  VolumeMount: object(
    {
      mountPoint: path,
      fileSystem: { type: 'string', enum: FILE_SYSTEM_TYPES },
      readOnly: boolean,
      options: mountOptions,
    },
    ['fileSystem', 'readOnly', 'options'],
  ),
  VolumeUnmount: optionalBody({ mountPoint: path }),
  VolumeStage: object(
    {
      path,
      kind: stagingKind,
      fileSystem: { type: 'string', enum: FILE_SYSTEM_TYPES },
      formatOptions: array(
        { type: 'string', minLength: 1, maxLength: FORMAT_OPTION_CHARS_MAX },
        { maxItems: FORMAT_OPTIONS_MAX },
      ),
      mountOptions,
      readOnly: boolean,
      encryption,
    },
    ['fileSystem', 'formatOptions', 'mountOptions', 'readOnly', 'encryption'],
  ),
  Staged: object({ device: string }),
  VolumeUnstage: object({ path }),
  VolumeBind: object(
    {
      stagingPath: path,
      targetPath: path,
      kind: stagingKind,
      readOnly: boolean,
      exclusive: boolean,
      mountOptions,
    },
    ['readOnly', 'exclusive', 'mountOptions'],
  ),
  VolumeUnbind: object({ targetPath: path }),
  Usage: object({
    kind: stagingKind,
    bytes: object({ total: byteCount, used: byteCount, available: byteCount }),
    inodes: nullable(object({ total: count, used: count, available: count })),
    abnormal: nullable(string),
  }),
  VolumeGrow: object({ path }),
  Grown: object({ sizeBytes: byteCount }),
  Trim: object({ trimmedBytes: byteCount }),
  Snapshot: snapshot,
  SnapshotList: object({ items: array(ref('Snapshot')) }),
  SnapshotCreate: optionalBody({ name: paramText }),
  SnapshotGroup: group,
  SnapshotGroupList: object({ items: array(ref('SnapshotGroup')) }),
  SnapshotGroupCreate: object({
    name: paramText,
    volumes: array(paramText, {
      minItems: 1,
      maxItems: SNAPSHOT_GROUP_VOLUMES_MAX,
      uniqueItems: true,
    }),
  }),
  Diff: diff,
  Disk: disk,
  DiskList: object({ items: array(ref('Disk')) }),
  DiskAdd: object(
    { path: { type: 'string', minLength: 1, maxLength: DISK_PATH_CHARS_MAX }, tags },
    ['tags'],
  ),
  DiskTags: object({ tags }),
  Node: node,
  NodeList: object({ items: array(ref('Node')) }),
  Session: session,
  SessionList: object({ items: array(ref('Session')) }),
  DoctorFinding: finding,
  DoctorFindingList: object({ items: array(ref('DoctorFinding')) }),
};

/** A body that may be absent and whose fields all may be. */
function optionalBody(properties: Record<string, JsonSchema>): JsonSchema {
  return { type: ['object', 'null'], properties, additionalProperties: false };
}

export const BODY = ref;

export const PARAMS = {
  volume: object({ name: paramText }),
  snapshot: object({ name: paramText, snapshot: paramText }),
  group: object({ group: paramText }),
  disk: object({ id: paramText }),
} as const;

export const QUERY = {
  none: object({}),
  secrets: object({ secrets: { type: 'string', enum: ['1'] } }, ['secrets']),
  withSnapshots: object({ withSnapshots: { type: 'string', enum: ['refuse'] } }, ['withSnapshots']),
  path: object({ path }),
  name: object({ name: { type: 'string', maxLength: API_PARAM_CHARS_MAX } }),
  diff: object(
    {
      from: { type: 'string', maxLength: API_PARAM_CHARS_MAX },
      to: { type: 'string', maxLength: API_PARAM_CHARS_MAX },
      offset: byteCount,
      limit: { type: 'string', pattern: '^\\d{1,6}$' },
    },
    ['from', 'to', 'offset', 'limit'],
  ),
} as const;

/** The schema of an answer with `status`, and of every error. */
export function answers(status: 200 | 201 | 202, id: string): Record<string, JsonSchema> {
  return { [status]: ref(id), '4xx': ref('Error'), '5xx': ref('Error') };
}

/** 201 when it is there, 202 while it is being made. */
export function made(id: string): Record<string, JsonSchema> {
  return { ...answers(201, id), ...answers(202, id) };
}

export const NO_CONTENT: Record<string, JsonSchema> = {
  204: { type: 'null', description: 'done' },
  '4xx': ref('Error'),
  '5xx': ref('Error'),
};
