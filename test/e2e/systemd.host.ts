/**
 * The agent as a service of systemd, through two boots of one disk. The program is installed into each guest's
 * root before its init starts, so that the agent is part of the boot itself.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { root } from '../support/repository.js';
import { createImage, plainDisk } from './support/disk.js';
import { bootGuest } from './support/guest.js';
import { runDirectory } from './support/kernel.js';

const DIRECTORY = runDirectory('systemd');
const IMAGE = join(DIRECTORY, 'disk.img');
const STAGING = join(DIRECTORY, 'staging');
const DISK_BYTES = 4 * 1024 ** 3;
const BOOT_TIMEOUT_MS = 900_000;

/** What `npm run install:systemd` does on a machine whose systemd does not run yet. */
const INSTALL = [
  `cp -a ${STAGING}/. /`,
  'systemd-sysusers /usr/local/lib/sysusers.d/aurochs.conf',
  'systemd-tmpfiles --create /usr/local/lib/tmpfiles.d/aurochs.conf',
  'systemctl enable aurochs-agent.service iscsid.socket',
  // The data directory is a file system of its own, as on a machine with a disk for it.
  'echo "/dev/vda /var/lib/aurochs ext4 defaults 0 0" >> /etc/fstab',
].join(' && ');

async function boot(name: string): Promise<void> {
  const failures: string[] = [];
  const guest = bootGuest({
    task: {
      kind: 'specs',
      module: join(root, `dist/test/e2e/systemd/${name}.js`),
      argument: null,
    },
    directory: join(DIRECTORY, name),
    init: 'systemd',
    prepare: INSTALL,
    disks: [plainDisk(IMAGE)],
    timeoutMs: BOOT_TIMEOUT_MS,
    onMessage: (message) => {
      if (message.type === 'note') console.log(`      ${message.text}`);
      if (message.type !== 'test') return;
      console.log(`    ${message.state}: ${message.title} (${(message.ms / 1000).toFixed(1)} s)`);
      if (message.state === 'failed') failures.push(`${message.title}\n${message.error}`);
    },
  });
  await guest.ended();
  assert.deepEqual(failures, [], `console log: ${guest.consoleLog}`);
}

describe('the agent as a service', () => {
  before(() => {
    const env = { ...process.env, DESTDIR: STAGING };
    execFileSync('npm', ['run', '--silent', 'install:systemd'], { cwd: root, env });
    createImage(IMAGE, DISK_BYTES);
  });

  it('is upgraded, stopped, hung and killed under load, then shut down with the machine', () =>
    boot('first-boot'));

  it('serves its volumes again after the boot, as the shutdown has left them', () =>
    boot('second-boot'));
});
