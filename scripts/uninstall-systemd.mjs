// `npm run uninstall:systemd`: takes away what `npm run install:systemd` put there; data stays. DESTDIR=DIR
// removes the files below DIR and stops nothing.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fail, quietly } from './setup.mjs';
import {
  AGENT_UNIT,
  DEVICES_UNIT,
  PLACES,
  destination,
  isSystemdRunning,
  place,
  requireRoot,
  step,
} from './systemd-places.mjs';

/** Devices first, while their agent serves; in use they stop everything. */
function stopService() {
  const release = join(PLACES.library, 'current/systemd/release-devices');
  if (existsSync(release)) {
    step('unmounting and disconnecting the devices of volumes');
    const child = spawnSync(release, { stdio: ['ignore', 'inherit', 'inherit'] });
    if (child.status !== 0) fail('a device is still in use', 'end what is named above, then again');
  }
  for (const unit of [DEVICES_UNIT, AGENT_UNIT]) {
    if (existsSync(PLACES.files[unit])) {
      quietly(`- stopping ${unit}`, 'systemctl', ['disable', '--now', unit]);
    }
  }
}

requireRoot('npm run uninstall:systemd');
if (destination === '' && isSystemdRunning()) stopService();
step('removing files');
for (const path of [...Object.values(PLACES.files), PLACES.program, PLACES.library]) {
  rmSync(place(path), { recursive: true, force: true });
}
if (destination === '') {
  for (const path of ['/run/aurochs', '/dev/aurochs'])
    rmSync(path, { recursive: true, force: true });
  if (isSystemdRunning()) quietly('- telling systemd', 'systemctl', ['daemon-reload']);
  step(
    'what stays: data in /var/lib/aurochs and on other disks, /etc/default/aurochs-agent, the group aurochs',
  );
}
