import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';

import { run } from '../../support/programs.js';
import { eventually } from '../support/devices.js';
import {
  CONTENT,
  devicePath,
  MOUNTS,
  property,
  untilActive,
  VOLUMES,
  wasUnmounted,
} from './service.js';

describe('the agent on the second boot', () => {
  before(async () => {
    await untilActive();
    await run('modprobe', '-a', 'iscsi_tcp', 'sd_mod');
  });

  it('serves the volumes that were attached', async () => {
    await eventually('both volumes are served', async () =>
      (await property('StatusText')) === 'serving 2 volumes' ? true : undefined,
    );
  });

  for (const kind of ['netdev', 'plain'] as const) {
    it(`finds the file system that was mounted ${kind === 'netdev' ? 'with' : 'without'} _netdev unmounted in order`, async () => {
      const disk = devicePath(VOLUMES[kind]);
      await eventually(disk, () => (existsSync(disk) ? true : undefined));
      assert.ok(await wasUnmounted(disk), 'its journal has to recover it');
      mkdirSync(MOUNTS[kind], { recursive: true });
      await run('mount', '-o', '_netdev', disk, MOUNTS[kind]);
      assert.equal(readFileSync(`${MOUNTS[kind]}/last`, 'utf8'), CONTENT);
    });
  }
});
