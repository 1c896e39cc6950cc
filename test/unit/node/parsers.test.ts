import assert from 'node:assert/strict';

import { hasCode } from '../../../src/core/errors.js';
import { CommandError } from '../../../src/node/command.js';
import { contentsOf, parseBlkidExport } from '../../../src/node/contents.js';
import { e2fsckProblem, parseTrimmed } from '../../../src/node/filesystem.js';
import { Host } from '../../../src/node/host-namespaces.js';
import { recordSettings, withSettings } from '../../../src/node/iscsi-record.js';
import { ISCSIADM_EXITS, iscsiadmError } from '../../../src/node/iscsiadm.js';
import { parseMountInfo } from '../../../src/node/mount-table.js';
import { parseBackend } from '../../../src/node/nbd-device.js';
import { parseFilefrag } from '../../../src/node/sparse-image.js';
import { connectAddress } from '../../../src/node/portal-address.js';
import { failure, NEW_RECORD, nbdBackend } from './scripted-host.js';

/** include/iscsi_err.h of open-iscsi 2.1.11 ends here. */
const ISCSI_ERR_LAST = 33;

const CHAP = {
  user: 'db',
  secret: 'correct horse = 12',
  mutualUser: 'agent',
  mutualSecret: 'battery staple',
};

describe('iscsiadm', () => {
  it('has a meaning for each exit code that it may end with', () => {
    const codes = Array.from({ length: ISCSI_ERR_LAST }, (_, index) => String(index + 1));
    assert.deepEqual(Object.keys(ISCSIADM_EXITS), codes);
  });

  it('tells a wrong secret from a portal that is not there, and iscsid that does not run from both', () => {
    const codeOf = (exit: number) => iscsiadmError('t', failure('iscsiadm', [], exit, '')).code;
    assert.deepEqual([24, 8, 20, 12, 19].map(codeOf), [
      'PERMISSION_DENIED',
      'UNAVAILABLE',
      'UNAVAILABLE',
      'UNSUPPORTED',
      'FAILED_PRECONDITION',
    ]);
  });

  it('shows the line with the cause', () => {
    const stderr =
      'iscsiadm: Could not login to [iface: default, target: iqn.2026-11.io.aurochs:db, portal: 127.0.0.1,3260].\n' +
      'iscsiadm: initiator reported error (20 - could not connect to iscsid)\n' +
      'iscsiadm: Could not log into all portals\n';
    const { message } = iscsiadmError('t', failure('iscsiadm', [], 20, stderr));
    assert.equal(message, 't: iscsiadm: iscsid does not run (20 - could not connect to iscsid)');
  });
});

describe('a node record', () => {
  it('keeps what iscsiadm wrote and has each setting once', () => {
    const lines = withSettings(NEW_RECORD, recordSettings('db', CHAP)).split('\n');
    const of = (name: string) => lines.filter((line) => line.startsWith(`${name} =`));
    assert.deepEqual(of('node.startup'), ['node.startup = manual']);
    assert.deepEqual(of('node.session.scan'), ['node.session.scan = manual']);
    assert.deepEqual(of('node.conn[0].address'), ['node.conn[0].address = 127.0.0.1']);
    assert.deepEqual(of('node.session.auth.username'), ['node.session.auth.username = db']);
    assert.deepEqual(of('node.session.auth.password'), [
      'node.session.auth.password = correct horse = 12',
    ]);
    assert.deepEqual(of('node.session.auth.password_in'), [
      'node.session.auth.password_in = battery staple',
    ]);
  });

  it('drops the CHAP user of the machine when the volume has none', () => {
    const record = withSettings(NEW_RECORD, recordSettings('db', null));
    assert.match(record, /^node\.session\.auth\.authmethod = None$/m);
    assert.doesNotMatch(record, /username/);
  });

  it('refuses a secret that would not survive the file', () => {
    for (const secret of ['line\nnode.startup = automatic', ' blank at an end', 'x'.repeat(256)]) {
      assert.throws(
        () => recordSettings('db', { user: 'db', secret }),
        (error) => hasCode(error, 'INVALID_ARGUMENT'),
      );
    }
  });
});

describe('what programs print', () => {
  it('is understood: mountinfo, with blanks in a path', () => {
    const text =
      '22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n' +
      '36 22 8:0 / /mnt/with\\040blank ro,relatime shared:9 master:2 - xfs /dev/sda ro,attr2\n';
    assert.deepEqual(parseMountInfo(text)[1], {
      deviceNumber: '8:0',
      root: '/',
      mountPoint: '/mnt/with blank',
      fileSystem: 'xfs',
      readOnly: true,
      fileSystemReadOnly: true,
    });
  });

  it('is understood: blkid, of a file system, a partition table, LUKS and nothing', () => {
    const of = (text: string) => contentsOf(parseBlkidExport(text));
    assert.deepEqual(of('DEVNAME=/dev/sda\nUUID=1\nTYPE=ext4\nUSAGE=filesystem\n'), {
      kind: 'fileSystem',
      type: 'ext4',
    });
    assert.deepEqual(of('DEVNAME=/dev/sda\nPTUUID=5b2c\nPTTYPE=gpt\n'), {
      kind: 'other',
      what: 'a partition table (gpt)',
    });
    assert.deepEqual(of('TYPE=crypto_LUKS\nUSAGE=crypto\n'), { kind: 'encrypted', label: '' });
    assert.deepEqual(of('LABEL=aurochs-new\nTYPE=crypto_LUKS\nUSAGE=crypto\n'), {
      kind: 'encrypted',
      label: 'aurochs-new',
    });
    assert.deepEqual(of('TYPE=LVM2_member\nUSAGE=raid\n'), {
      kind: 'other',
      what: 'LVM2_member (raid)',
    });
    assert.deepEqual(of(''), { kind: 'blank' });
  });

  it('is understood: filefrag, of a sparse file and of an empty one', () => {
    const text = `Filesystem type is: ef53
File size of /proc/7/fd/20 is 2147483648 (524288 blocks of 4096 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..      31:   21940224..  21940255:     32:
   1:   131072..  131080:   21942272..  21942280:      9:   22071296: unwritten
   2:   524287..  524287:   21948415..  21948415:      1:   22075360: last,eof
/proc/7/fd/20: 3 extents found
`;
    assert.deepEqual(parseFilefrag(text), [
      { offset: 0, length: 32 * 4096 },
      { offset: 131072 * 4096, length: 9 * 4096 },
      { offset: 524287 * 4096, length: 4096 },
    ]);
    assert.deepEqual(parseFilefrag('File size of /i is 0 (0 blocks of 4096 bytes)\n'), []);
    assert.throws(() => parseFilefrag('something else'));
  });

  it('is understood: the bits of e2fsck', () => {
    assert.equal(e2fsckProblem(1), null);
    assert.equal(e2fsckProblem(1 | 2), null);
    assert.equal(e2fsckProblem(1 | 4)?.code, 'CORRUPTION');
    assert.equal(e2fsckProblem(8)?.code, 'IO');
  });

  it('is understood: fstrim', () => {
    assert.equal(parseTrimmed('/mnt: 1.2 GiB (1288490188 bytes) trimmed\n'), 1288490188n);
  });

  it('is understood: the identifier of an NBD device', () => {
    assert.deepEqual(parseBackend(nbdBackend('my-db')), {
      serial: '0123456789abcdef',
      volume: 'my-db',
    });
    assert.equal(parseBackend('somebody else'), null);
  });
});

describe('connectAddress', () => {
  it('reaches a listener on every address at loopback, and shows names as numbers', async () => {
    assert.equal(await connectAddress('0.0.0.0:3260'), '127.0.0.1:3260');
    assert.equal(await connectAddress('[::]:3260'), '[::1]:3260');
    assert.match(await connectAddress('localhost:3260'), /^(127\.0\.0\.1|\[::1\]):3260$/);
    await assert.rejects(connectAddress('unix:/socket'), (error) =>
      hasCode(error, 'INVALID_ARGUMENT'),
    );
  });
});

describe('Host', () => {
  const view = { root: '/proc/1/root', process: '1', enter: true } as const;

  it('runs programs and finds files in the namespaces of process 1', async () => {
    const calls: string[] = [];
    const runner = {
      run: (program: string, args: readonly string[]) => {
        calls.push([program, ...args].join(' '));
        return Promise.resolve({ stdout: '', stderr: '' });
      },
    };
    const host = new Host(runner, view);
    await host.run('mount', ['/dev/sda', '/mnt']);
    assert.deepEqual(calls, [
      'nsenter --target 1 --mount --net --ipc --uts -- mount /dev/sda /mnt',
    ]);
    assert.equal(host.path('/sys/block'), '/proc/1/root/sys/block');
    assert.equal(host.processFile('mountinfo'), '/proc/1/mountinfo');
  });

  it('tells that a program is missing on the host, although nsenter is there', async () => {
    const stderr = 'nsenter: failed to execute mkfs.xfs: No such file or directory\n';
    const runner = { run: () => Promise.reject(failure('nsenter', [], 127, stderr)) };
    const error: unknown = await new Host(runner, view)
      .run('mkfs.xfs', [])
      .catch((e: unknown) => e);
    assert.ok(error instanceof CommandError && error.missing);
    assert.match(error.message, /^mkfs\.xfs/);
  });
});
