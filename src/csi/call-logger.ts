/**
 * One line for every call. Of a request only what names things is logged, never secrets, mount flags, parameters or
 * contexts; and these are taken out of error messages, wherever those come from.
 */
import { status } from '@grpc/grpc-js';

import type { Logger, LogFields } from '../core/logger.js';
import { SECRET_FIELDS } from './definition.js';
import { shown } from './names.js';

export interface CallEnd {
  method: string;
  request: object;
  code: status;
  durationMs: number;
  /** The caller gave up before it ended. */
  cancelled: boolean;
  /** What the caller was told. */
  details?: string;
}

const NAMING_FIELDS = [
  'name',
  'volumeId',
  'nodeId',
  'snapshotId',
  'sourceVolumeId',
  'baseSnapshotId',
  'targetSnapshotId',
  'groupSnapshotId',
] as const;

/** Asked again and again, and nothing changes by them. */
const QUIET = /^(Probe|GetPlugin|List|Get|.*GetCapabilities$|.*GetInfo$|NodeGetVolumeStats$)/;

export function logCall(log: Logger, end: CallEnd): void {
  const { method, request, code, durationMs, cancelled, details } = end;
  const fields: LogFields = { method, ...namesIn(request), code: status[code], durationMs };
  if (cancelled) fields['cancelled'] = true;
  if (details !== undefined) fields['error'] = details;
  if (code !== status.OK) log.warn('csi call failed', fields);
  else if (QUIET.test(method)) log.debug('csi call', fields);
  else log.info('csi call', fields);
}

function namesIn(request: object): LogFields {
  const values = request as Record<string, unknown>;
  const said = NAMING_FIELDS.map((field) => [field, values[field]] as const).filter(
    (entry): entry is [(typeof NAMING_FIELDS)[number], string] =>
      typeof entry[1] === 'string' && entry[1] !== '',
  );
  return Object.fromEntries(said.map(([field, value]) => [field, shown(value).slice(1, -1)]));
}

/** Maps whose values are the caller's own business. */
const PRIVATE_FIELDS = [
  'volumeContext',
  'publishContext',
  'parameters',
  'mutableParameters',
] as const;
/** Names that the sidecars of Kubernetes add: the volume's own is one of them, and an error has to say it. */
const KUBERNETES_NAMES = 'csi.storage.k8s.io/';
/** Shorter ones are words like "true" and "ext4", which tell nothing and are in many messages. */
const PRIVATE_CHARS_MIN = 9;

/** The text without what the request holds that is not for logs. */
export function withoutPrivate(text: string, request: object): string {
  return privateTexts(request)
    .sort((a, b) => b.length - a.length)
    .reduce((rest, each) => rest.replaceAll(patternOf(each), '…'), text);
}

function privateTexts(request: object): string[] {
  const secrets = [...SECRET_FIELDS].flatMap((field) => entriesOf(request, field));
  const others = PRIVATE_FIELDS.flatMap((field) => entriesOf(request, field)).filter(
    ([key, value]) => !key.startsWith(KUBERNETES_NAMES) && value.length >= PRIVATE_CHARS_MIN,
  );
  const values = [...secrets, ...others].map(([, value]) => value);
  return [...values, ...mountFlagsIn(request)].filter((text) => text !== '');
}

function entriesOf(request: object, field: string): [string, string][] {
  const map = (request as Record<string, unknown>)[field];
  return typeof map === 'object' && map !== null
    ? Object.entries(map as Record<string, string>)
    : [];
}

interface WithCapabilities {
  volumeCapability?: { mount?: { mountFlags: string[] } | null } | null;
  volumeCapabilities?: { mount?: { mountFlags: string[] } | null }[];
}

function mountFlagsIn(request: WithCapabilities): string[] {
  return [request.volumeCapability, ...(request.volumeCapabilities ?? [])].flatMap(
    (capability) => capability?.mount?.mountFlags ?? [],
  );
}

/** A short one only where it is not the middle of another word: a flag "ro" is not in "broken". */
function patternOf(text: string): RegExp | string {
  if (text.length >= PRIVATE_CHARS_MIN) return text;
  const escaped = text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(?<![\\p{L}\\p{N}])${escaped}(?![\\p{L}\\p{N}])`, 'gu');
}
