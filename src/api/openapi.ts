/** The OpenAPI 3.1 document, made from the schemas that the routes check with, so that it cannot differ from them. */
import type { RouteOptions } from 'fastify';
import { COMPONENTS, type JsonSchema } from './schemas.js';

interface Operation {
  summary: string;
  parameters: unknown[];
  responses: Record<string, unknown>;
  requestBody?: unknown;
}

interface RouteSchema {
  summary?: string;
  params?: JsonSchema;
  querystring?: JsonSchema;
  body?: JsonSchema;
  response?: Record<string, JsonSchema>;
}

export class OpenApiDocument {
  readonly #paths: Record<string, Record<string, Operation>> = {};

  /** For fastify's onRoute hook. */
  add(route: RouteOptions): void {
    const schema = (route.schema ?? {}) as RouteSchema;
    const path = route.url.replace(/:(\w+)/g, '{$1}');
    const methods = Array.isArray(route.method) ? route.method : [route.method];
    for (const method of methods) {
      (this.#paths[path] ??= {})[method.toLowerCase()] = operation(schema);
    }
  }

  toJson(version: string): unknown {
    const schemas = Object.fromEntries(
      Object.entries(COMPONENTS).map(([id, schema]) => [id, withOpenApiRefs(schema)]),
    );
    return {
      openapi: '3.1.0',
      info: {
        title: 'Aurochs agent',
        version,
        description: 'Block volumes with snapshots, over iSCSI and NBD.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: 'http://localhost', description: 'the UNIX socket of the agent' }],
      paths: this.#paths,
      components: { schemas },
    };
  }
}

function operation(schema: RouteSchema): Operation {
  const parameters = [
    ...parametersOf(schema.params, 'path'),
    ...parametersOf(schema.querystring, 'query'),
  ];
  const responses = Object.entries(schema.response ?? {}).map(([status, body]) => {
    const description = status.startsWith('2') ? 'done' : 'refused or failed';
    if (body['type'] === 'null') return [status, { description }];
    return [status.toUpperCase(), { description, ...content(body) }];
  });
  return {
    summary: schema.summary ?? '',
    parameters,
    ...(schema.body === undefined ? {} : { requestBody: content(schema.body) }),
    responses: Object.fromEntries(responses) as Record<string, unknown>,
  };
}

function content(schema: JsonSchema): Record<string, unknown> {
  return { content: { 'application/json': { schema: withOpenApiRefs(schema) } } };
}

function parametersOf(schema: JsonSchema | undefined, where: 'path' | 'query'): unknown[] {
  const properties = (schema?.['properties'] ?? {}) as Record<string, JsonSchema>;
  const required = (schema?.['required'] ?? []) as string[];
  return Object.entries(properties).map(([name, each]) => ({
    name,
    in: where,
    required: required.includes(name),
    schema: each,
  }));
}

/** "Volume#" is how fastify names a shared schema; OpenAPI says "#/components/schemas/Volume". */
function withOpenApiRefs(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withOpenApiRefs);
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) =>
      key === '$ref' && typeof value === 'string'
        ? [key, `#/components/schemas/${value.replace(/#$/, '')}`]
        : [key, withOpenApiRefs(value)],
    ),
  );
}
