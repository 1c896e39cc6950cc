import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';

import { runSanity, SANITY_PROGRAM } from '../support/csi-sanity.js';
import { CsiNode } from './support/csi-node.js';
import { note } from './support/messages.js';
import { allTraces } from './support/traces.js';

const MIB = 1024 * 1024;
/** What has to be written to format a volume of the usual 10 GiB takes a guest long. */
const SIZES = [`--csi.testvolumesize=${64 * MIB}`, `--csi.testvolumeexpandsize=${128 * MIB}`];
const TIMEOUT_MS = 900_000;

describe('csi-sanity over devices', function () {
  this.timeout(TIMEOUT_MS + 60_000);
  const node = new CsiNode();

  before(async function () {
    if (!existsSync(SANITY_PROGRAM)) {
      note('csi-sanity is not there, as this machine has no Go to build it');
      this.skip();
    }
    await node.start();
  });
  after(() => node.stop());

  for (const frontend of ['iscsi', 'nbd']) {
    it(`passes with ${frontend}`, async () => {
      const directory = `/mnt/${frontend}`;
      const { passed, skipped, failures, output } = await runSanity({
        endpoint: node.endpoint,
        directory,
        parameters: { frontend },
        more: SIZES,
        timeoutMs: TIMEOUT_MS,
      });
      if (failures.length > 0) console.log(`${output}\n${node.driver.log}\n${node.agent.log}`);
      note(`${passed} passed, ${skipped} skipped`);
      assert.deepEqual(failures, []);
      assert.deepEqual(await node.agent.api.volumes(), []);
      assert.deepEqual(await allTraces(node.agent.dataDirectory, directory), []);
    });
  }
});
