import assert from 'node:assert/strict';
import { realpathSync, truncateSync, writeFileSync } from 'node:fs';

import type { VolumeBody } from '../../src/api/types.js';
import { AgentProcess, uriOf } from '../support/agent-process.js';
import { run } from '../support/programs.js';
import { Scratch } from '../support/scratch.js';

const MIB = 1024 * 1024;
const SIZE_BYTES = 512 * MIB;
const EXPANDED_BYTES = 768 * MIB;

interface MapEntry {
  offset: number;
  length: number;
  description: string;
}

/** What `nbdinfo --map` says, as "offset+length description". */
async function allocationOf(volume: VolumeBody): Promise<string[]> {
  const entries = JSON.parse(
    await run('nbdinfo', '--map', '--json', uriOf(volume, 'nbd')),
  ) as MapEntry[];
  return entries.map(({ offset, length, description }) => `${offset}+${length} ${description}`);
}

async function qemuIo(volume: VolumeBody, ...commands: string[]): Promise<void> {
  const args = commands.flatMap((command) => ['-c', command]);
  await run('qemu-io', '-f', 'raw', '--cache=none', ...args, uriOf(volume, 'nbd'));
}

describe('a file system with this repository’s node_modules', function () {
  this.timeout(300_000);

  const scratch = new Scratch();
  const agent = new AgentProcess(scratch);
  const image = scratch.file('image');
  const copy = scratch.file('copy');
  let volume: VolumeBody;

  const readOverNbd = async (): Promise<void> => {
    await run('nbdcopy', uriOf(volume, 'nbd'), copy);
  };
  const readOverIscsi = async (): Promise<void> => {
    await run('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uriOf(volume, 'iscsi'), copy);
  };
  const assertCopyIsImage = async (): Promise<void> => {
    await run('cmp', image, copy);
    await run('e2fsck', '-fn', copy);
  };

  before(async () => {
    const files = realpathSync('node_modules');
    await run('mke2fs', '-q', '-F', '-t', 'ext4', '-d', files, image, `${SIZE_BYTES / MIB}M`);
    await agent.start();
  });
  after(async () => {
    await agent.kill();
    scratch.remove();
  });

  it('comes back over NBD as it was written over iSCSI', async () => {
    volume = await agent.volume('over-iscsi', String(SIZE_BYTES));
    await run('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', image, uriOf(volume, 'iscsi'));
    await readOverNbd();
    await assertCopyIsImage();
  });

  it('comes back over iSCSI as it was written over NBD', async () => {
    volume = await agent.volume('over-nbd', String(SIZE_BYTES));
    await run('nbdcopy', image, uriOf(volume, 'nbd'));
    await readOverIscsi();
    await assertCopyIsImage();
  });

  it('is what a snapshot keeps while the volume changes, and the diff is what has changed', async () => {
    await agent.api.createSnapshot(volume.name, { name: 'before' });
    const [fourth, zeroed] = [4 * MIB, 64 * MIB];
    await qemuIo(volume, `write -P 1 ${fourth} 64k`, `write -P 2 ${fourth + 128 * 1024} 4k`);
    await qemuIo(volume, `write -z -u ${zeroed} 1M`, `write -P 3 ${SIZE_BYTES - 4096} 4k`, 'flush');
    const { code, stdout } = await agent.cli(
      'snapshot',
      'diff',
      volume.name,
      '--from',
      'before',
      '-o',
      'json',
    );
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), [
      { offsetBytes: String(fourth), lengthBytes: '65536', state: 'data' },
      { offsetBytes: String(fourth + 128 * 1024), lengthBytes: '4096', state: 'data' },
      { offsetBytes: String(zeroed), lengthBytes: String(MIB), state: 'hole' },
      { offsetBytes: String(SIZE_BYTES - 4096), lengthBytes: '4096', state: 'data' },
    ]);
    await qemuIo(volume, `read -P 1 ${fourth} 64k`, `read -P 0 ${zeroed} 1M`);
  });

  it('is back after a revert', async () => {
    const refused = await agent.cli('snapshot', 'revert', volume.name, 'before');
    assert.equal(refused.code, 10, 'an attached volume must not be reverted');
    await agent.api.detachVolume(volume.name, {});
    assert.equal((await agent.cli('snapshot', 'revert', volume.name, 'before')).code, 0);
    volume = await agent.api.attachVolume(volume.name, {});
    await readOverIscsi();
    await assertCopyIsImage();
  });

  it('stays whole when the snapshot is deleted while the volume is attached', async () => {
    await qemuIo(volume, 'write -P 9 0 4k', 'write -P 9 128M 1M');
    await readOverNbd();
    await run('cp', copy, image);
    assert.equal((await agent.cli('snapshot', 'rm', volume.name, 'before', '--wait')).code, 0);
    assert.deepEqual(await agent.api.snapshots(volume.name), []);
    await readOverIscsi();
    await run('cmp', image, copy);
  });

  it('has room to grow, seen by clients of both frontends, with zeros behind it', async () => {
    const { code } = await agent.cli('volume', 'expand', volume.name, '--size', '768MiB');
    assert.equal(code, 0);
    assert.equal(Number(await run('nbdinfo', '--size', uriOf(volume, 'nbd'))), EXPANDED_BYTES);
    const info = await run('qemu-img', 'info', '--output=json', uriOf(volume, 'iscsi'));
    const { 'virtual-size': size } = JSON.parse(info) as { 'virtual-size': number };
    assert.equal(size, EXPANDED_BYTES);
    truncateSync(image, EXPANDED_BYTES);
    await readOverNbd();
    await run('cmp', image, copy);
  });
});

describe('NBD clients', function () {
  this.timeout(120_000);

  const scratch = new Scratch();
  const agent = new AgentProcess(scratch);
  let volume: VolumeBody;

  before(async () => {
    await agent.start();
    volume = await agent.volume('db', '64MiB');
  });
  after(async () => {
    await agent.kill();
    scratch.remove();
  });

  it('see a hole where nothing was written and after a trim', async () => {
    const all = 64 * MIB;
    assert.deepEqual(await allocationOf(volume), [`0+${all} hole,zero`]);
    await qemuIo(volume, `write -P 5 ${4 * MIB} 1M`, 'flush');
    assert.deepEqual(await allocationOf(volume), [
      `0+${4 * MIB} hole,zero`,
      `${4 * MIB}+${MIB} data`,
      `${5 * MIB}+${all - 5 * MIB} hole,zero`,
    ]);
    await qemuIo(volume, `discard ${4 * MIB + 64 * 1024} 64k`);
    assert.deepEqual(await allocationOf(volume), [
      `0+${4 * MIB} hole,zero`,
      `${4 * MIB}+65536 data`,
      `${4 * MIB + 65536}+65536 hole,zero`,
      `${4 * MIB + 131072}+${MIB - 131072} data`,
      `${5 * MIB}+${all - 5 * MIB} hole,zero`,
    ]);
    await qemuIo(volume, `discard ${4 * MIB} 1M`);
    assert.deepEqual(await allocationOf(volume), [`0+${all} hole,zero`]);
  });

  it('read what they wrote with 16 requests in flight (fio --verify)', async () => {
    const job = ['--ioengine=nbd', `--uri=${uriOf(volume, 'nbd')}`, '--iodepth=16', '--size=48M'];
    const check = ['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--do_verify=1'];
    for (const [bs, rw] of [
      ['4k', 'randwrite'],
      ['64k', 'write'],
      ['512-16k', 'randwrite'],
    ] as const) {
      const size = bs.includes('-') ? `--bsrange=${bs}` : `--bs=${bs}`;
      await run('fio', '--name=verify', `--rw=${rw}`, size, ...job, ...check);
    }
  });

  it('work on several connections at once (fio with four jobs)', async () => {
    const job = ['--ioengine=nbd', `--uri=${uriOf(volume, 'nbd')}`, '--iodepth=8', '--bs=4k'];
    const jobs = ['--numjobs=4', '--size=12M', '--offset_increment=12M', '--rw=randwrite'];
    const check = ['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0'];
    await run('fio', '--name=verify', ...job, ...jobs, ...check);
  });

  it('are refused when they ask for a volume that is not attached', async () => {
    await agent.api.createVolume({ name: 'asleep', size: '1MiB' });
    const uri = uriOf(volume, 'nbd').replace('/db?', '/asleep?');
    await assert.rejects(run('nbdinfo', '--size', uri), /ended with 1/);
  });
});

describe('iSCSI clients', function () {
  this.timeout(120_000);

  const scratch = new Scratch();
  const agent = new AgentProcess(scratch);

  before(() => agent.start());
  after(async () => {
    await agent.kill();
    scratch.remove();
  });

  it('discover the targets that are attached', async () => {
    const volume = await agent.volume('db', '64MiB');
    await agent.api.createVolume({ name: 'asleep', size: '1MiB' });
    const portal = /^(iscsi:\/\/[^/]+)\//.exec(uriOf(volume, 'iscsi'))?.[1] ?? '';
    const listed = await run('iscsi-ls', `${portal}/`);
    assert.match(listed, /iqn\.2026-11\.io\.aurochs:db\b/);
    assert.doesNotMatch(listed, /asleep/);
  });

  it('must know the secret of a volume that has one', async () => {
    const { url } = await secured();
    const withSecret = url.replace('iscsi://', 'iscsi://app%twelve-chars-long@');
    assert.match(await run('iscsi-inq', withSecret), /Vendor:AUROCHS/);
    await assert.rejects(run('iscsi-inq', url));
    await assert.rejects(run('iscsi-inq', withSecret.replace('twelve', 'eleven')));
  });

  const secured = async (): Promise<{ url: string }> => {
    const chap = { user: 'app', secret: 'twelve-chars-long' };
    await agent.api.createVolume({ name: 'secret', size: '1MiB', chap });
    return { url: uriOf(await agent.api.attachVolume('secret', {}), 'iscsi') };
  };

  it('are asked for what was changed since', async () => {
    const secret = scratch.file('secret');
    writeFileSync(secret, 'another-secret-of-it\n', { mode: 0o600 });
    await agent.api.createVolume({ name: 'changing', size: '64MiB' });
    const url = uriOf(await agent.api.attachVolume('changing', {}), 'iscsi');
    const set = ['volume', 'set', 'changing', '--chap-user', 'app', '--chap-secret-file', secret];
    assert.equal((await agent.cli(...set)).code, 0);
    const withSecret = url.replace('iscsi://', 'iscsi://app%another-secret-of-it@');
    await run('iscsi-inq', withSecret);
    await assert.rejects(run('iscsi-inq', url));
    assert.equal((await agent.cli('volume', 'set', 'changing', '--without-chap')).code, 0);
    await run('iscsi-inq', url);
  });

  it('are refused when they are not on the list of a volume', async () => {
    const initiators = ['iqn.2001-04.com.example:allowed'];
    await agent.api.createVolume({ name: 'listed', size: '1MiB', initiators });
    const url = uriOf(await agent.api.attachVolume('listed', {}), 'iscsi');
    await run('iscsi-inq', '-i', 'iqn.2001-04.com.example:allowed', url);
    await assert.rejects(run('iscsi-inq', '-i', 'iqn.2001-04.com.example:other', url));
  });
});
