// Writes src/csi/gen from src/csi/proto/csi.proto: the types, and the description that the driver loads, so
// that no file has to be found at run time. `node scripts/generate-csi.mjs DIR` writes elsewhere.
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
// It teaches protobufjs the files below google/protobuf.
import '@grpc/proto-loader';
import protobuf from 'protobufjs';
import { fail, root } from './setup.mjs';

const PROTO = 'src/csi/proto/csi.proto';
const out = resolve(root, process.argv[2] ?? 'src/csi/gen');

/** The same options as LOADER_OPTIONS of src/csi/definition.ts: the types say what the loader makes. */
const OPTIONS = ['--longs=String', '--enums=String', '--defaults', '--oneofs'];

rmSync(out, { recursive: true, force: true });
const generated = spawnSync(
  process.execPath,
  [
    'node_modules/@grpc/proto-loader/build/bin/proto-loader-gen-types.js',
    ...OPTIONS,
    '--grpcLib=@grpc/grpc-js',
    '--importFileExtension=.js',
    `--outDir=${out}`,
    PROTO,
  ],
  { cwd: root, encoding: 'utf8' },
);
if (generated.status !== 0) fail(`the types of ${PROTO} were not generated: ${generated.stderr}`);

const description = await new protobuf.Root().load(join(root, PROTO));
const json = JSON.stringify(description.toJSON(), null, 1);
writeFileSync(
  join(out, 'description.ts'),
  `// Original file: ${PROTO}\n\n/** As protobufjs describes it, with the options of each field. */\nexport const description: { nested: Record<string, unknown> } = ${json};\n`,
);
