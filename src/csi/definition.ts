/** The services of csi.proto as grpc-js wants them, and what the file says about its fields. */
import type { ServiceDefinition } from '@grpc/grpc-js';
import { fromJSON, type Options } from '@grpc/proto-loader';

import { description } from './gen/description.js';

/** The same as in scripts/generate-csi.mjs: the types say what the loader makes. */
const LOADER_OPTIONS: Options = { longs: String, enums: String, defaults: true, oneofs: true };

const definition = fromJSON(description as Parameters<typeof fromJSON>[0], LOADER_OPTIONS);

export const SERVICES = [
  'Identity',
  'Controller',
  'Node',
  'GroupController',
  'SnapshotMetadata',
] as const;
export type ServiceName = (typeof SERVICES)[number];

export function serviceDefinition(name: ServiceName): ServiceDefinition {
  return definition[`csi.v1.${name}`] as ServiceDefinition;
}

interface Described {
  nested?: Record<string, Described>;
  fields?: Record<string, { options?: Record<string, unknown> }>;
}

/** Names of the fields that csi.proto marks with csi_secret, in any message. */
export const SECRET_FIELDS: ReadonlySet<string> = new Set(secretFields(description as Described));

function secretFields({ nested = {}, fields = {} }: Described): string[] {
  const own = Object.entries(fields)
    .filter(([, field]) => field.options?.['(csi_secret)'] === true)
    .map(([name]) => name);
  return [...own, ...Object.values(nested).flatMap(secretFields)];
}
