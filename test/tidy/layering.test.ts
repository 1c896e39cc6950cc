import assert from 'node:assert/strict';
import { posix } from 'node:path';
import { read, trackedFiles } from '../support/repository.js';

/** What each folder of native/ may include besides itself: arrows only point downwards. */
const NATIVE_MAY_INCLUDE: Record<string, readonly string[]> = {
  base: [],
  io: ['base'],
  block: ['io', 'base'],
  scsi: ['block', 'io', 'base'],
  iscsi: ['scsi', 'block', 'io', 'base'],
  nbd: ['block', 'io', 'base'],
  replica: ['block', 'io', 'base'],
  host: ['iscsi', 'scsi', 'nbd', 'replica', 'block', 'io', 'base'],
  addon: ['host', 'base'],
};

/** What each folder of src/ may import besides itself. Adding a word here is a design decision. */
const SRC_MAY_IMPORT: Record<string, readonly string[]> = {
  core: [],
  volume: ['core'],
  native: ['core'],
  engine: ['core', 'volume', 'native'],
  node: ['core', 'volume'],
  store: ['core', 'volume'],
  reconcile: ['core', 'volume'],
  api: ['core', 'volume'],
  csi: ['core', 'volume', 'api'],
  daemon: ['core', 'volume', 'native', 'engine', 'node', 'store', 'reconcile', 'api', 'csi'],
  cli: ['core', 'api', 'node', 'daemon'],
};

/** Packages that one folder alone may import. */
const PACKAGE_HOME: Record<string, readonly string[]> = {
  winston: ['daemon'],
  yargs: ['cli'],
  'cli-table3': ['cli'],
  'cli-progress': ['cli'],
  fastify: ['api'],
  undici: ['api'],
  '@grpc': ['csi'],
  'better-sqlite3': ['store', 'daemon'],
};

function lines(path: string, pattern: RegExp): string[] {
  return [...read(path).matchAll(pattern)].map((match) => match[1] ?? '');
}

describe('layering', () => {
  for (const path of trackedFiles().filter((file) => /^native\/.*\.(h|cc)$/.test(file))) {
    it(`${path} includes only from a layer below`, () => {
      const from = path.split('/')[1] ?? '';
      assert(from in NATIVE_MAY_INCLUDE, `native/${from} is not on the map`);
      for (const included of lines(path, /^#include "([^"]+)"/gm)) {
        const to = included.split('/')[0] ?? '';
        const allowed = from === to || NATIVE_MAY_INCLUDE[from]?.includes(to) === true;
        assert(allowed, `${path} must not know ${included}`);
      }
      const knowsNode = /#include <(napi|node|js_native)/.test(read(path));
      assert(!knowsNode || from === 'addon', `${path}: only native/addon may know Node`);
    });
  }

  for (const path of trackedFiles().filter((file) => /^src\/.*\.ts$/.test(file))) {
    it(`${path} imports only from a layer below`, () => {
      const from = path.split('/')[1] ?? '';
      assert(from in SRC_MAY_IMPORT, `src/${from} is not on the map`);
      for (const imported of lines(path, /(?:from|import)\s*\(?\s*'([^']+)'/g)) {
        if (imported.startsWith('.')) {
          const to = posix.join(posix.dirname(path), imported).split('/')[1] ?? '';
          const allowed = from === to || SRC_MAY_IMPORT[from]?.includes(to) === true;
          assert(allowed, `${path} must not know ${imported}`);
        } else {
          const home = PACKAGE_HOME[imported.split('/')[0] ?? ''];
          assert(home === undefined || home.includes(from), `${path} must not know ${imported}`);
        }
      }
    });
  }
});
