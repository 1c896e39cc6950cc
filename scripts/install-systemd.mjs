// `npm run install:systemd`: a copy of the built program that needs this checkout no more, as a service of
// this machine. Run again it upgrades: the new version lies beside the old one, the rename of one link
// switches, and the agent is restarted while its volumes stay attached. DESTDIR=DIR puts the files below DIR
// and starts nothing.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { ensureBuilt, fail, quietly, root } from './setup.mjs';
import {
  AGENT_UNIT,
  PLACES,
  destination,
  isSystemdRunning,
  place,
  requireRoot,
  step,
} from './systemd-places.mjs';

const versions = join(place(PLACES.library), 'versions');
const current = join(place(PLACES.library), 'current');

/** $0 finds the library beside it, below a DESTDIR too; the resolved link shows which version a process runs. */
const PROGRAM = `#!/bin/sh
# Written by npm run install:systemd.
exec ${process.execPath} "$(readlink -f "$(dirname "$(readlink -f "$0")")/../lib/aurochs/current")/dist/src/cli/index.js" "$@"
`;

/** Directories of the npm packages that the program loads; the lock file has decided which. */
function productionPackages() {
  const args = ['ls', '--omit=dev', '--all', '--parseable'];
  const child = spawnSync('npm', args, { cwd: root, encoding: 'utf8' });
  if (child.status !== 0) fail(`npm ls failed: ${child.stderr.trim()}`, 'npm ci');
  const below = join(root, 'node_modules/');
  const paths = child.stdout.split('\n').filter((path) => path.startsWith(below));
  return paths.map((path) => relative(root, path));
}

/** What native packages were compiled from is ten times what they are. */
function isLoaded(path) {
  return !/\.(o|a|d|c|cc|cpp|h|hpp)$/.test(path);
}

function copyProgram(target) {
  const own = ['package.json', 'LICENSE', 'build/Release/aurochs.node', 'dist/src', 'systemd'];
  for (const path of own) cpSync(join(root, path), join(target, path), { recursive: true });
  for (const path of productionPackages()) {
    const from = join(root, path);
    cpSync(from, join(target, path), {
      recursive: true,
      // Packages below it are in the list themselves where they are needed.
      filter: (each) => isLoaded(each) && !each.slice(from.length).includes('/node_modules'),
    });
  }
}

/** The same files give the same name, so that an installation without a change changes nothing. */
function fingerprint(directory) {
  const hash = createHash('sha256');
  const add = (path) => {
    if (lstatSync(path).isDirectory()) {
      for (const name of readdirSync(path).sort()) add(join(path, name));
    } else {
      hash.update(`${relative(directory, path)}\0`).update(readFileSync(path));
    }
  };
  add(directory);
  return hash.digest('hex').slice(0, 12);
}

/** Returns the name of the version. */
function installProgram() {
  const incoming = join(versions, '.incoming');
  rmSync(incoming, { recursive: true, force: true });
  copyProgram(incoming);
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const name = `${version}-${fingerprint(incoming)}`;
  if (existsSync(join(versions, name))) {
    rmSync(incoming, { recursive: true });
    return name;
  }
  writeFileSync(join(incoming, 'version-name'), `${name}\n`);
  // On the disk before anything points there: a power cut must not leave a service without its program.
  quietly('  writing it to the disk', 'sync', ['--file-system', incoming]);
  renameSync(incoming, join(versions, name));
  return name;
}

function switchTo(name) {
  const link = `${current}.new`;
  rmSync(link, { force: true });
  symlinkSync(join('versions', name), link);
  renameSync(link, current);
}

/** Returns whether it was new or another. */
function replaceFile(path, content, mode) {
  if (existsSync(path) && readFileSync(path, 'utf8') === content) return false;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, content);
  chmodSync(`${path}.new`, mode);
  renameSync(`${path}.new`, path);
  return true;
}

function installFiles() {
  let changed = replaceFile(place(PLACES.program), PROGRAM, 0o755);
  for (const [file, path] of Object.entries(PLACES.files)) {
    const content = readFileSync(join(root, 'systemd', file), 'utf8');
    if (replaceFile(place(path), content, 0o644)) changed = true;
  }
  return changed;
}

/** A running agent loads parts of its own version late, so others go only when it runs the new one. */
function removeOtherVersions(name) {
  for (const other of readdirSync(versions)) {
    if (other !== name) rmSync(join(versions, other), { recursive: true });
  }
}

function systemctl(...args) {
  return spawnSync('systemctl', args, { encoding: 'utf8' }).status === 0;
}

function startOrRestart(before, name, filesChanged) {
  quietly('- telling systemd', 'systemctl', ['daemon-reload']);
  quietly('- enabling the agent at boot', 'systemctl', ['enable', AGENT_UNIT]);
  const runs = systemctl('is-active', AGENT_UNIT);
  if (runs && before === name && !filesChanged) return step('the agent runs this version already');
  step(runs ? 'restarting the agent; volumes stay attached' : 'starting the agent');
  if (systemctl(runs ? 'restart' : 'start', AGENT_UNIT)) return;
  const back = `ln -sfn versions/${before} ${current} && systemctl restart ${AGENT_UNIT}`;
  const hint = `journalctl -u ${AGENT_UNIT} -n 50`;
  const isUpgrade = before !== null && before !== name;
  fail('the agent does not start', isUpgrade ? `${hint}; the version before: ${back}` : hint);
}

requireRoot('npm run install:systemd');
if (destination === '') {
  const needed = ['systemctl', 'systemd-sysusers', 'systemd-tmpfiles'];
  const missing = needed.filter((program) => spawnSync(program, ['--version']).error);
  if (missing.length > 0)
    fail(
      `not on this machine: ${missing.join(', ')}`,
      'apt-get install systemd; npm start runs the agent without it',
    );
}
ensureBuilt();
const before = existsSync(current) ? readlinkSync(current).replace('versions/', '') : null;
step('copying the program');
const name = installProgram();
switchTo(name);
const filesChanged = installFiles();
step(`${PLACES.library}/versions/${name} is the current version`);
if (destination !== '') {
  removeOtherVersions(name);
  step(`everything is below ${destination}; nothing was started`);
} else {
  quietly('- making the group aurochs', 'systemd-sysusers', [PLACES.files['sysusers.conf']]);
  quietly('- making directories', 'systemd-tmpfiles', ['--create', PLACES.files['tmpfiles.conf']]);
  if (isSystemdRunning()) {
    startOrRestart(before, name, filesChanged);
    removeOtherVersions(name);
    step('the agent runs; "aurochs doctor" says what this machine lacks');
  } else {
    removeOtherVersions(name);
    step(`systemd does not run here; where it does: systemctl enable --now ${AGENT_UNIT}`);
  }
}
