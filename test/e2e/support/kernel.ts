/** Debian's kernel with its modules, and an initramfs that mounts this machine's root; unpacked once. */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';

import { root } from '../../support/repository.js';

const E2E_DIRECTORY = join(root, 'build/e2e');
const KERNEL_DIRECTORY = join(E2E_DIRECTORY, 'kernel');
/** Always the newest; the image itself is what it depends on. */
const KERNEL_PACKAGE = 'linux-image-amd64';
/** What must be there before the root is; everything else is loaded from the root. */
const EARLY_MODULES = ['virtio_pci', '9pnet_virtio', '9p', 'overlay'];
const BUSYBOX = '/bin/busybox';

/** Disks and logs of a spec; gone before its next run, and after one in which nothing failed. */
export function runDirectory(spec: string): string {
  return join(E2E_DIRECTORY, 'runs', spec);
}

export interface Kernel {
  image: string;
  initramfs: string;
  modules: string;
}

let kernel: Kernel | null = null;

/** Made once in a process: a guest that is starting may be reading it. */
export function ensureKernel(): Kernel {
  kernel ??= makeKernel();
  return kernel;
}

function makeKernel(): Kernel {
  if (!existsSync(KERNEL_DIRECTORY)) unpackKernel();
  const [release] = readdirSync(join(KERNEL_DIRECTORY, 'lib/modules'));
  if (release === undefined) throw new Error(`${KERNEL_DIRECTORY} holds no kernel; remove it`);
  return {
    image: join(KERNEL_DIRECTORY, `boot/vmlinuz-${release}`),
    initramfs: makeInitramfs(release),
    modules: join(KERNEL_DIRECTORY, 'lib/modules', release),
  };
}

/** Renamed into place when it is complete, so that an interrupted run starts anew. */
function unpackKernel(): void {
  const partial = join(E2E_DIRECTORY, 'kernel.partial');
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  const dependencies = execFileSync('apt-cache', ['depends', KERNEL_PACKAGE], { encoding: 'utf8' });
  const name = /Depends: (linux-image-\S+)/.exec(dependencies)?.[1];
  if (name === undefined) throw new Error(`${KERNEL_PACKAGE} depends on no kernel image`);
  console.log(`unpacking ${name} …`);
  execFileSync('apt-get', ['download', '-qq', name], { cwd: partial, stdio: 'pipe' });
  const [deb] = readdirSync(partial);
  if (deb === undefined) throw new Error(`apt-get downloaded no ${name}`);
  execFileSync('dpkg', ['-x', join(partial, deb), partial]);
  rmSync(join(partial, deb));
  const [release] = readdirSync(join(partial, 'lib/modules'));
  execFileSync('depmod', ['-b', partial, String(release)]);
  renameSync(partial, KERNEL_DIRECTORY);
}

function makeInitramfs(release: string): string {
  const tree = join(E2E_DIRECTORY, 'initramfs');
  rmSync(tree, { recursive: true, force: true });
  for (const folder of ['bin', 'modules']) mkdirSync(join(tree, folder), { recursive: true });
  copyFileSync(BUSYBOX, join(tree, 'bin/busybox'));
  copyFileSync(join(root, 'test/e2e/support/initramfs-init.sh'), join(tree, 'init'));
  execFileSync('chmod', ['755', join(tree, 'init')]);
  const modules = earlyModules(release);
  for (const path of modules) copyFileSync(path, join(tree, 'modules', basename(path)));
  const order = modules.map((path) => `${basename(path)}\n`).join('');
  writeFileSync(join(tree, 'modules.order'), order);
  const archive = join(E2E_DIRECTORY, 'initramfs.cpio');
  const pack = `find . | cpio --quiet -o -H newc -R 0:0 > '${archive}'`;
  execFileSync('sh', ['-c', pack], { cwd: tree });
  return archive;
}

/** Files in the order in which they can be inserted. */
function earlyModules(release: string): string[] {
  const args = ['-d', KERNEL_DIRECTORY, '-S', release, '--show-depends', '-a', ...EARLY_MODULES];
  const lines = execFileSync('modprobe', args, { encoding: 'utf8' }).split('\n');
  const paths = lines.map((line) => /^insmod (\S+)/.exec(line)?.[1]);
  return [...new Set(paths.filter((path) => path !== undefined))];
}
