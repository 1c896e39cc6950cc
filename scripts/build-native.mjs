// Builds the native part: the addon (default), or with --tests the core's test executables, or with
// --fuzzers the libFuzzer targets; --sanitize address|thread gives the tests a build of their own.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
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
  const command = existsSync(join(root, 'build/Makefile')) ? ['configure', 'build'] : ['configure', 'build'];
  const cxx = hasCommand('ccache') ? { CXX: 'ccache g++', CC: 'ccache gcc' } : {};
  run(process.execPath, [...args, ...command, '-j', String(availableParallelism())], cxx);
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
    `-Dwith_fuzzers=${kind === 'fuzzers' ? 1 : 0}`,
    `-Dsanitize=${kind === 'fuzzers' ? 'fuzzer' : sanitize}`,
  ];
  const generator = ['-f', 'ninja', '--depth=.', '-G', 'output_dir=.', `--generator-output=${output}`];
  const env = { CXX: cxx, CC: cxx, LD: compiler, CCACHE_BASEDIR: root, CCACHE_NOHASHDIR: '1' };
  run('python3', [gyp, 'binding.gyp', ...generator, ...defines], env);
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
