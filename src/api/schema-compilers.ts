/**
 * Fastify's own compilers of schemas, put to work when a route is first used. There are some hundred schemas; compiling
 * them all at the start would take longer than everything else that an agent does before it is ready.
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

const buildValidator: Ajv.ValidatorFactory = (...setUp) => {
  const compiler = once(() => {
    const makeFactory = require('@fastify/ajv-compiler') as () => Ajv.ValidatorFactory;
    return makeFactory()(...setUp);
  });
  return (route) => {
    const compiled = once(() => compiler()(route));
    const validate: Validate = (value) => {
      const isValid = compiled()(value);
      validate.errors = compiled().errors;
      return isValid;
    };
    return validate as ReturnType<Ajv.ValidatorCompiler>;
  };
};

const buildSerializer: FastJson.SerializerFactory = (...setUp) => {
  const compiler = once(() => {
    const name = '@fastify/fast-json-stringify-compiler';
    const makeFactory = require(name) as () => FastJson.SerializerFactory;
    return makeFactory()(...setUp);
  });
  return (route) => {
    const compiled = once(() => compiler()(route));
    return (document) => compiled()(document);
  };
};

/** For fastify's schemaController. */
export const compilersFactory = { buildValidator, buildSerializer };

function once<T>(make: () => T): () => T {
  let made: { value: T } | null = null;
  return () => (made ??= { value: make() }).value;
}
