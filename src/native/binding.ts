import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AurochsError } from '../core/errors.js';
import type { NativeBinding } from './binding-types.js';

const HINT =
  'Run `node scripts/build-native.mjs` in the package; it compiles the native data path.';

/** The folder of package.json, above this file wherever it was compiled to. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new AurochsError('INTERNAL', 'package.json is nowhere above');
    folder = parent;
  }
  return folder;
}

/**
 * The native data path. The only place that loads it; loading it again gives the same. UNAVAILABLE when
 * it is not built, or not for this Node.
 */
export function loadBinding(): NativeBinding {
  const file = join(packageRoot(), 'build', 'Release', 'aurochs.node');
  if (!existsSync(file)) {
    throw new AurochsError('UNAVAILABLE', `the native data path is not built: no ${file}`, HINT);
  }
  try {
    return createRequire(import.meta.url)(file) as NativeBinding;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AurochsError('UNAVAILABLE', `the native data path does not load: ${why}`, HINT, {
      cause,
    });
  }
}
