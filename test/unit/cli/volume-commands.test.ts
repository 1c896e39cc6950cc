import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { FakeAgent, errorBody } from '../../support/fake-agent.js';
import { type CliOptions, type CliResult, runCli } from '../../support/run-cli.js';
import { DEVICE, ISCSI_EXPORT, NBD_EXPORT, volumeBody } from './fixtures.js';

describe('aurochs volume', () => {
  let agent: FakeAgent;
  beforeEach(async () => {
    agent = await FakeAgent.start();
  });
  afterEach(() => agent.stop());

  const run = (line: string, options?: CliOptions): Promise<CliResult> =>
    runCli([...line.split(' '), '--api-socket', agent.socketPath], options);

  it('creates a volume with the exact number of bytes', async () => {
    agent.on('POST /v1/volumes', { status: 201, body: volumeBody() });
    const { code, stdout } = await run('volume create db --size 1.5GiB --disk d1');
    assert.equal(code, 0);
    assert.equal(stdout, 'created volume db\n');
    const [request] = agent.seen;
    assert.deepEqual(request?.body, { name: 'db', size: '1610612736', disk: 'd1' });
  });

  it('reads CHAP secrets from files, without the line end of an editor', async () => {
    agent.on('POST /v1/volumes', { status: 201, body: volumeBody() });
    const secret = join(agent.directory, 'secret');
    const mutual = join(agent.directory, 'mutual');
    await writeFile(secret, 'twelve-chars\n');
    await writeFile(mutual, 'other-twelve\r\n');
    const chap = `--chap-user app --chap-secret-file ${secret}`;
    const { code } = await run(
      `volume create db --size 1G ${chap} --mutual-chap-user us --mutual-chap-secret-file ${mutual} --initiator iqn.a --initiator iqn.b`,
    );
    assert.equal(code, 0);
    assert.deepEqual(agent.seen[0]?.body, {
      name: 'db',
      size: '1073741824',
      initiators: ['iqn.a', 'iqn.b'],
      chap: {
        user: 'app',
        secret: 'twelve-chars',
        mutualUser: 'us',
        mutualSecret: 'other-twelve',
      },
    });
  });

  it('refuses a secret file with several lines, and one that is not there', async () => {
    const secret = join(agent.directory, 'secret');
    await writeFile(secret, 'one\ntwo\n');
    const several = await run(
      `volume create db --size 1G --chap-user a --chap-secret-file ${secret}`,
    );
    assert.equal(several.code, 2);
    assert.match(several.stderr, /secret file .* has more than one line/);
    const missing = await run(
      'volume create db --size 1G --chap-user a --chap-secret-file /nowhere',
    );
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /cannot read the secret file \/nowhere/);
    assert.deepEqual(agent.seen, []);
  });

  it('refuses a size that is none before it asks the agent', async () => {
    const { code, stderr } = await run('volume create db --size 10Gigs');
    assert.equal(code, 2);
    assert.match(stderr, /^error: .*10Gigs.*\nnext: /);
    assert.deepEqual(agent.seen, []);
  });

  it('lists volumes as a table', async () => {
    const attached = volumeBody({ name: 'web', state: 'attached', exports: [ISCSI_EXPORT] });
    agent.on('GET /v1/volumes', { body: { items: [volumeBody(), attached] } });
    const { stdout } = await run('volume ls');
    const [head, first, second] = stdout.split('\n');
    assert.match(
      head ?? '',
      /^NAME +SIZE +ALLOCATED +STATE +ROBUSTNESS +FRONTENDS +DEVICE +CREATED +PROBLEM$/,
    );
    assert.match(first ?? '', /^db +10GiB +1\.5MiB +detached +healthy +- /);
    assert.match(second ?? '', /^web +10GiB +1\.5MiB +attached +healthy +iscsi /);
  });

  it('lists volumes as JSON with exact byte counts', async () => {
    agent.on('GET /v1/volumes', {
      body: { items: [volumeBody({ sizeBytes: '9007199254740993' })] },
    });
    const { stdout } = await run('volume ls -o json');
    const [volume] = JSON.parse(stdout) as { sizeBytes: unknown }[];
    assert.equal(volume?.sizeBytes, '9007199254740993');
  });

  it('says how to create the first volume when there is none', async () => {
    agent.on('GET /v1/volumes', { body: { items: [] } });
    assert.match((await run('volume ls')).stdout, /No volumes\. .*aurochs volume create/);
    assert.equal((await run('volume ls -o json')).stdout, '[]\n');
  });

  it('attaches a volume and prints lines to paste for every client', async () => {
    const body = volumeBody({ state: 'attached', exports: [ISCSI_EXPORT, NBD_EXPORT] });
    agent.on('POST /v1/volumes/db/attach', { body });
    const { code, stdout } = await run('volume attach db --frontend iscsi --frontend nbd');
    assert.equal(code, 0);
    assert.deepEqual(agent.seen[0]?.body, { frontends: ['iscsi', 'nbd'] });
    for (const line of [
      'iscsiadm -m node -T iqn.2026-11.io.aurochs:db -p 127.0.0.1:3260 --login',
      'qemu-img info iscsi://127.0.0.1:3260/iqn.2026-11.io.aurochs:db/1',
      'nbd-client 127.0.0.1 10809 -N db /dev/nbd0',
      'nbdinfo --map nbd://127.0.0.1:10809/db',
    ]) {
      assert.ok(stdout.includes(`    ${line}\n`), `${line} is missing in:\n${stdout}`);
    }
  });

  it('attaches a volume in another form than the usual', async () => {
    const body = volumeBody({ state: 'attached', removable: true, provisioning: 'full' });
    agent.on('POST /v1/volumes/db/attach', { body });
    agent.on('GET /v1/volumes/db', { body });
    await run('volume attach db --removable --provision full');
    assert.deepEqual(agent.seen[0]?.body, { removable: true, provisioning: 'full' });
    const { stdout } = await run('volume show db');
    assert.match(stdout, /attached, removable, fully provisioned/);
  });

  it('attaches a volume as a device, and says which frontend, why, and what to type next', async () => {
    agent.on('POST /v1/volumes/db/attach', {
      body: volumeBody({ state: 'attached', exports: [ISCSI_EXPORT, NBD_EXPORT], device: DEVICE }),
    });
    const { stdout } = await run('volume attach db --device');
    assert.deepEqual(agent.seen[0]?.body, { device: { frontend: 'auto' } });
    const [first] = stdout.split('\n');
    assert.equal(
      first,
      'attached volume db as /dev/aurochs/db (/dev/sda) over iSCSI: iscsi_tcp and iscsid can be used',
    );
    assert.match(stdout, /^ {2}aurochs volume mount db \/mnt\/db$/m);
    assert.doesNotMatch(stdout, /iscsiadm/);
    await run('volume attach db --device --frontend nbd');
    assert.deepEqual(agent.seen[1]?.body, { device: { frontend: 'nbd' } });
    const { stdout: json } = await run('volume attach db --device --frontend auto -o json');
    assert.deepEqual((JSON.parse(json) as { device: unknown }).device, DEVICE);
  });

  it('shows the device of a volume', async () => {
    const body = volumeBody({ state: 'attached', exports: [ISCSI_EXPORT], device: DEVICE });
    agent.on('GET /v1/volumes/db', { body });
    agent.on('GET /v1/volumes', { body: { items: [body] } });
    const { stdout } = await run('volume show db');
    assert.match(stdout, /^device +\/dev\/aurochs\/db \(\/dev\/sda\) over iSCSI: /m);
    assert.match((await run('volume ls')).stdout, /iscsi +\/dev\/aurochs\/db /);
  });

  it('refuses frontends that make no sense with a device, or without one', async () => {
    const two = await run('volume attach db --device --frontend iscsi --frontend nbd');
    assert.equal(two.code, 2);
    assert.match(two.stderr, /one frontend/);
    const auto = await run('volume attach db --frontend auto');
    assert.equal(auto.code, 2);
    assert.match(auto.stderr, /next: Add --device/);
    assert.deepEqual(agent.seen, []);
  });

  it('mounts at a path of the caller, unmounts and trims', async () => {
    agent.on('POST /v1/volumes/db/mount', { body: volumeBody({ device: DEVICE }) });
    agent.on('POST /v1/volumes/db/unmount', { status: 204 });
    agent.on('POST /v1/volumes/db/trim', { body: { trimmedBytes: '1048576' } });
    const here = `${process.cwd()}/data`;
    const { stdout } = await run('volume mount db data --fs xfs --option noatime --option nofail');
    assert.equal(stdout, `mounted volume db at ${here}\n`);
    await run('volume mount db /srv/db --read-only');
    assert.equal((await run('volume unmount db')).stdout, 'unmounted volume db\n');
    await run('volume unmount db data');
    assert.equal((await run('volume trim db')).stdout, 'trimmed 1MiB of volume db\n');
    assert.deepEqual(
      agent.seen.map(({ body }) => body),
      [
        { mountPoint: here, fileSystem: 'xfs', options: ['noatime', 'nofail'] },
        { mountPoint: '/srv/db', readOnly: true },
        {},
        { mountPoint: here },
        null,
      ],
    );
  });

  it('changes who may log in', async () => {
    agent.on('POST /v1/volumes/db/access', { body: volumeBody() });
    await run('volume set db --initiator iqn.2026-11.x:one --without-chap');
    assert.deepEqual(agent.seen[0]?.body, { initiators: ['iqn.2026-11.x:one'], chap: null });
    await run('volume set db --all-initiators');
    assert.deepEqual(agent.seen[1]?.body, { initiators: [] });
    assert.match((await run('volume set db')).stderr, /nothing to change/);
    assert.equal(agent.seen.length, 2);
  });

  it('takes the name after an option that may be repeated', async () => {
    agent.on('POST /v1/volumes/db/attach', { body: volumeBody({ state: 'attached' }) });
    assert.equal((await run('volume attach --frontend nbd db --read-only')).code, 0);
    assert.deepEqual(agent.seen[0]?.body, { frontends: ['nbd'], readOnly: true });
  });

  it('says how to log in with CHAP without printing a secret', async () => {
    const chap = { user: 'app', mutualUser: 'us', secret: 'never-shown-1' };
    agent.on('POST /v1/volumes/db/attach', { body: volumeBody({ chap, exports: [ISCSI_EXPORT] }) });
    const { stdout } = await run('volume attach db');
    assert.match(stdout, /-n node\.session\.auth\.authmethod -v CHAP/);
    assert.match(stdout, /-n node\.session\.auth\.username -v app/);
    assert.match(stdout, /-n node\.session\.auth\.username_in -v us/);
    assert.doesNotMatch(stdout, /never-shown/);
  });

  it('shows a volume with its problem and the next step', async () => {
    const problem = {
      code: 'CORRUPTION',
      message: 'replica.json is damaged',
      hint: 'Restore it.',
    } as const;
    agent.on('GET /v1/volumes/db', { body: volumeBody({ robustness: 'faulted', problem }) });
    const { stdout } = await run('volume show db');
    assert.match(stdout, /^size +10GiB \(10737418240 bytes\)$/m);
    assert.match(stdout, /^replica +\/srv\/fast\/replicas\/db-6b1f4a1e$/m);
    assert.match(stdout, /^problem +replica\.json is damaged$/m);
    assert.match(stdout, /^next +Restore it\.$/m);
  });

  it('expands and detaches', async () => {
    agent.on('POST /v1/volumes/db/expand', { body: volumeBody({ sizeBytes: '21474836480' }) });
    agent.on('POST /v1/volumes/db/detach', { body: volumeBody() });
    assert.equal((await run('volume expand db --size 20GiB')).stdout, 'volume db has 20GiB\n');
    assert.equal((await run('volume detach db')).stdout, 'detached volume db\n');
    assert.equal((await run('volume detach db --force')).code, 0);
    const bodies = agent.seen.map(({ body }) => body);
    assert.deepEqual(bodies, [{ size: '21474836480' }, {}, { force: true }]);
  });

  it('deletes without a question when nobody is there to answer', async () => {
    agent.on('DELETE /v1/volumes/db', { status: 204 });
    assert.equal((await run('volume rm db')).stdout, 'deleted volume db\n');
  });

  it('asks a person before it deletes, and obeys', async () => {
    agent.on('DELETE /v1/volumes/db', { status: 204 });
    const no = await run('volume rm db', { typed: '\n' });
    assert.equal(no.code, 13);
    assert.match(no.stderr, /Delete volume db .*\[y\/N\]/);
    assert.deepEqual(agent.seen, []);
    assert.equal((await run('volume rm db', { typed: 'y\n' })).code, 0);
    assert.equal((await run('volume rm db --yes', { typed: '' })).code, 0);
    assert.equal(agent.seen.length, 2);
  });

  it('passes on what the agent refuses: message, next step and exit code', async () => {
    const body = errorBody('BUSY', 'volume db has 1 open session', 'Log it out.');
    agent.on('POST /v1/volumes/db/detach', { status: 409, body });
    const { code, stdout, stderr } = await run('volume detach db');
    assert.deepEqual([code, stdout], [11, '']);
    assert.equal(stderr, 'error: volume db has 1 open session\nnext: Log it out.\n');
  });

  it('keeps a name that looks like a number or needs escaping as it is', async () => {
    agent.on('GET /v1/volumes/007', { body: volumeBody({ name: '007' }) });
    assert.equal((await run('volume show 007')).code, 0);
    await run('volume show ../disks');
    assert.equal(agent.seen[1]?.line, 'GET /v1/volumes/..%2Fdisks');
  });
});
