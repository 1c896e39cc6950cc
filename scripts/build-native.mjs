// Builds the native part: the addon (default), or with --tests the core's test executables, or with
// --fuzzers the libFuzzer targets (one per file in test/native/fuzz); --sanitize address|thread gives the tests a build of their own.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const gyp = join(root, 'node_modules/node-gyp/gyp/gyp_main.py');

/** The prefix of the running Node when its headers were installed with it. */
export function nodeDir() {
  const prefix = resolve(dirname(process.execPath), '..');
  return existsSync(join(prefix, 'include/node/node_api.h')) ? prefix : undefined;
}

function hasCommand(name) {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

function run(command, args, env = {}) {
  execFileSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } });
}

function buildAddon() {
  const args = [join(root, 'node_modules/node-gyp/bin/node-gyp.js')];
  const prefix = nodeDir();
  if (prefix !== undefined) args.push(`--nodedir=${prefix}`);
  const cxx = hasCommand('ccache') ? { CXX: 'ccache g++', CC: 'ccache gcc' } : {};
  run(process.execPath, [...args, 'configure', 'build', '-j', String(availableParallelism())], cxx);
  // Every symbol is bound on loading, so this names one that neither Node nor the addon has.
  run(process.execPath, ['-e', "require('./build/Release/aurochs.node')"]);
}

/**
 * One target for each test/native/fuzz/<name>_fuzz.cc, as an include file for binding.gyp: gyp itself
 * cannot make a list of targets. Paths start from where that file is.
 */
function describeFuzzers(output) {
  const folder = join(root, 'test/native/fuzz');
  const files = existsSync(folder) ? readdirSync(folder) : [];
  const up = relative(output, '');
  const targets = files
    .filter((file) => file.endsWith('_fuzz.cc'))
    .map((file) => ({
      target_name: file.slice(0, -'.cc'.length),
      type: 'executable',
      dependencies: ['core'],
      include_dirs: [join(up, 'native'), join(up, 'test/native')],
      sources: [join(up, 'test/native/fuzz', file)],
      ldflags: ['-fsanitize=fuzzer'],
      libraries: ['<(liburing_library)', '-lssl', '-lcrypto', '-lpthread'],
    }));
  const include = join(output, 'fuzzers.gypi');
  writeFileSync(join(root, include), JSON.stringify({ targets }));
  return include;
}

/** Executables that need no Node; each sanitizer has a directory of its own below build/. */
function buildExecutables(kind, sanitize) {
  const output = join('build', kind === 'fuzzers' ? 'fuzz' : sanitize);
  mkdirSync(join(root, output), { recursive: true });
  const compiler = kind === 'fuzzers' ? 'clang++' : 'g++';
  const cxx = hasCommand('ccache') ? `ccache ${compiler}` : compiler;
  const defines = [
    '-Dwith_addon=0',
    `-Dwith_tests=${kind === 'tests' ? 1 : 0}`,
    `-Dsanitize=${kind === 'fuzzers' ? 'fuzzer' : sanitize}`,
  ];
  const includes = kind === 'fuzzers' ? ['-I', describeFuzzers(output)] : [];
  const generator = [
    '-f',
    'ninja',
    '--depth=.',
    '-G',
    'output_dir=.',
    `--generator-output=${output}`,
  ];
  const env = { CXX: cxx, CC: cxx, LD: compiler, CCACHE_BASEDIR: root, CCACHE_NOHASHDIR: '1' };
  run('python3', [gyp, 'binding.gyp', ...includes, ...generator, ...defines], env);
  run('ninja', ['-C', join(output, 'Release')], env);
}

const { values } = parseArgs({
  options: {
    tests: { type: 'boolean', default: false },
    fuzzers: { type: 'boolean', default: false },
    sanitize: { type: 'string', default: 'none' },
  },
});
if (values.tests) buildExecutables('tests', values.sanitize);
else if (values.fuzzers) buildExecutables('fuzzers', values.sanitize);
else buildAddon();
