// What every command of package.json needs before it can work, done once and skipped when it is
// already there: Debian packages, npm packages, the native addon, the compiled TypeScript.
//
// Uses nothing but Node, because it runs before `npm ci`.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** To compile the native part and SQLite. */
export const BUILD_PACKAGES = [
  'g++',
  'make',
  'python3',
  'libc6-dev',
  'liburing-dev',
  'nlohmann-json3-dev',
];

/** Real clients and tools that the tests use besides the compiler. */
export const TEST_PACKAGES = [
  'clang',
  'clang-format',
  'cryptsetup-bin',
  'e2fsprogs',
  'fio',
  'git',
  'libclang-rt-14-dev',
  'libgmock-dev',
  'libgtest-dev',
  'libiscsi-bin',
  'libnbd-bin',
  'libssl-dev',
  'nbdkit',
  'ninja-build',
  'python3-libnbd',
  'qemu-block-extra',
  'qemu-utils',
  'xfsprogs',
];

/** A virtual machine with a real kernel, and what the specs run inside it. */
export const E2E_PACKAGES = [
  'busybox-static',
  'cpio',
  'cryptsetup-bin',
  'dmsetup',
  'e2fsprogs',
  'fio',
  'iproute2',
  'kmod',
  'nbd-client',
  'nbdkit',
  'open-iscsi',
  'qemu-system-x86',
  'systemd',
  'util-linux',
  'xfsprogs',
];

/** Peers that the benchmark measures beside us. */
export const BENCH_PACKAGES = [
  'fio',
  'libiscsi-bin',
  'libiscsi-dev',
  'nbdkit',
  'qemu-block-extra',
  'qemu-utils',
  'tgt',
];

/** Prints a sentence for a person and ends the command. */
export function fail(message, hint) {
  console.error(`error: ${message}`);
  if (hint !== undefined) console.error(`next: ${hint}`);
  process.exit(1);
}

/** Runs a step with its output kept out of sight unless it fails. */
export function quietly(title, command, args, env = {}) {
  process.stderr.write(`${title} …\n`);
  const child = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (child.status === 0) return;
  process.stderr.write(child.stdout ?? '');
  process.stderr.write(child.stderr ?? '');
  fail(`${title} failed: ${command} ${args.join(' ')}`, 'read the output above');
}

function missingDebianPackages(packages) {
  const query = spawnSync(
    'dpkg-query',
    ['-W', '-f', '${db:Status-Abbrev} ${Package}\n', ...packages],
    {
      encoding: 'utf8',
    },
  );
  if (query.error) return undefined; // Not a Debian system.
  const installed = new Set(
    query.stdout
      .split('\n')
      .filter((line) => line.startsWith('ii'))
      .map((line) => line.split(/\s+/)[1]),
  );
  return packages.filter((name) => !installed.has(name));
}

/** Installs what is missing as root; otherwise says what to type and stops. */
export function ensureDebianPackages(packages) {
  const missing = missingDebianPackages(packages);
  if (missing === undefined) {
    console.error(`note: not a Debian system; these must be here already: ${packages.join(' ')}`);
    return;
  }
  if (missing.length === 0) return;
  const line = `apt-get install -y --no-install-recommends ${missing.join(' ')}`;
  if (process.getuid() !== 0) fail('Debian packages are missing', `sudo ${line}`);
  // In runlevel 1 invoke-rc.d starts none of the services that a package brings along.
  const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  quietly('refreshing the package lists', 'apt-get', ['update'], env);
  quietly(`installing ${missing.join(' ')}`, 'apt-get', line.split(' ').slice(1), env);
}

/** The prefix of the running Node when its headers were installed with it. */
export function nodeDir() {
  const prefix = resolve(dirname(process.execPath), '..');
  return existsSync(join(prefix, 'include/node/node_api.h')) ? prefix : undefined;
}

function newestMs(paths, accept) {
  let newest = 0;
  for (const path of paths) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (stat.isDirectory()) {
      const below = readdirSync(path).map((name) => join(path, name));
      newest = Math.max(newest, newestMs(below, accept));
    } else if (accept(path)) {
      newest = Math.max(newest, stat.mtimeMs);
    }
  }
  return newest;
}

/** Whether `output` is missing or older than one of the sources. */
export function isStale(output, sources, accept = () => true) {
  const built = statSync(join(root, output), { throwIfNoEntry: false });
  return (
    built === undefined ||
    built.mtimeMs <
      newestMs(
        sources.map((s) => join(root, s)),
        accept,
      )
  );
}

function ensureNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  fail(`Node ${process.versions.node} is too old`, 'install Node 20.19 or newer');
}

function ensureNpmPackages() {
  // Ours, not npm's own marker: an interrupted `npm ci` must be done again.
  const stamp = 'node_modules/.aurochs-installed';
  const wanted = `${readFileSync(join(root, 'package-lock.json'))}${process.versions.modules}`;
  if (existsSync(join(root, stamp)) && readFileSync(join(root, stamp), 'utf8') === wanted) return;
  const prefix = nodeDir();
  const env = prefix === undefined ? {} : { npm_config_nodedir: prefix };
  quietly('installing npm packages (compiles SQLite the first time)', 'npm', ['ci'], env);
  writeFileSync(join(root, stamp), wanted);
}

function ensureAddon() {
  const isNative = (path) => /\.(cc|h|gyp)$/.test(path);
  if (!isStale('build/Release/aurochs.node', ['native', 'binding.gyp'], isNative)) return;
  quietly('compiling the native data path (a few minutes the first time)', process.execPath, [
    'scripts/build-native.mjs',
  ]);
}

function ensureTypeScript() {
  const isInput = (path) => /\.(ts|json)$/.test(path);
  if (!isStale('dist/.tsbuildinfo', ['src', 'test', 'tsconfig.json'], isInput)) return;
  quietly('compiling the control plane', process.execPath, [
    'node_modules/typescript/bin/tsc',
    '-p',
    'tsconfig.json',
  ]);
}

/** Everything that the program itself needs, and `packages` besides. */
export function ensureBuilt(packages = []) {
  ensureNode();
  ensureDebianPackages([...new Set([...BUILD_PACKAGES, ...packages])]);
  ensureNpmPackages();
  ensureAddon();
  ensureTypeScript();
}
