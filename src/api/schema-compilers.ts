/**
 * Fastify's own compilers of schemas, put to work when a route is first used. There are some hundred schemas; compiling
 * them all at the start would take longer than everything else that an agent does before it is ready.
 *
 * To fastify they are compilers of somebody's own: it does not make the names in a schema of headers small letters, and
 * takes no value back from a validator, so that there are no defaults and no coercion.
 */
import { createRequire } from 'node:module';
import type Ajv from '@fastify/ajv-compiler';
import type FastJson from '@fastify/fast-json-stringify-compiler';

const require = createRequire(import.meta.url);

/** What fastify uses of a compiled schema. */
interface Validate {
  (value: unknown): unknown;
  errors?: ReturnType<Ajv.ValidatorCompiler>['errors'];
}

// Each made once: fastify asks for a compiler route by route, and the factory knows which it has made already.
const validators = once(() => (require('@fastify/ajv-compiler') as () => Ajv.ValidatorFactory)());
const serializers = once(() =>
  (require('@fastify/fast-json-stringify-compiler') as () => FastJson.SerializerFactory)(),
);

const buildValidator: Ajv.ValidatorFactory = (schemas, options) => (route) => {
  const compiled = once(() => validators()(schemas, options)(route));
  const validate: Validate = (value) => {
    const isValid = compiled()(value);
    validate.errors = compiled().errors;
    return isValid;
  };
  return validate as ReturnType<Ajv.ValidatorCompiler>;
};

const buildSerializer: FastJson.SerializerFactory = (schemas, options) => (route) => {
  const compiled = once(() => serializers()(schemas, options)(route));
  return (document) => compiled()(document);
};

/** For fastify's schemaController. */
export const compilersFactory = { buildValidator, buildSerializer };

function once<T>(make: () => T): () => T {
  let made: { value: T } | null = null;
  return () => (made ??= { value: make() }).value;
}
