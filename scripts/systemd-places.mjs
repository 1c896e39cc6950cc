// What `npm run install:systemd` puts where, for it and for `npm run uninstall:systemd`.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fail } from './setup.mjs';

/** /usr/local is for what an administrator installs; systemd looks there for all of these. */
export const PLACES = {
  library: '/usr/local/lib/aurochs',
  program: '/usr/local/bin/aurochs',
  files: {
    'aurochs-agent.service': '/usr/local/lib/systemd/system/aurochs-agent.service',
    'aurochs-devices.service': '/usr/local/lib/systemd/system/aurochs-devices.service',
    'sysusers.conf': '/usr/local/lib/sysusers.d/aurochs.conf',
    'tmpfiles.conf': '/usr/local/lib/tmpfiles.d/aurochs.conf',
  },
};

export const AGENT_UNIT = 'aurochs-agent.service';
export const DEVICES_UNIT = 'aurochs-devices.service';

/** Files below it and nothing started: for a package, an image, a test. */
export const destination = process.env.DESTDIR ?? '';

export function place(path) {
  return join(destination || '/', path);
}

export function step(text) {
  console.log(`- ${text}`);
}

export function requireRoot(command) {
  if (destination !== '' || process.getuid() === 0) return;
  fail('only root may install a service', `sudo ${command}, or DESTDIR=DIR ${command}`);
}

/** As sd_booted(3) finds out. */
export function isSystemdRunning() {
  return existsSync('/run/systemd/system');
}
