import assert from 'node:assert/strict';

import { hasCode } from '../../../src/core/errors.js';
import { mkfsCommand, parseFormatOptions } from '../../../src/node/mkfs-options.js';
import { bindOptions, checkMountOptions, keysOf } from '../../../src/node/mount-options.js';
import type { FileSystemType } from '../../../src/volume/model.js';

const GOOD: [FileSystemType, string[]][] = [
  ['ext4', ['-m', '0']],
  ['ext4', ['-m0', '-i', '65536', '-I', '256', '-b', '4096', '-L', 'data']],
  ['ext4', ['-E', 'stride=16,stripe_width=32,root_owner=1000:1000', '-J', 'size=64']],
  ['ext4', ['-O', '^has_journal,metadata_csum', '-T', 'largefile', '-e', 'remount-ro']],
  ['xfs', ['-i', 'size=512,maxpct=25', '-m', 'reflink=1,crc=1', '-K', '-L', 'data']],
  ['xfs', ['-d', 'su=64k,sw=4', '-l', 'size=64m', '-n', 'size=8192', '-s', 'size=4096']],
];

const BAD: [FileSystemType, string[]][] = [
  ...[['-F'], ['-n'], ['-S'], ['-c'], ['-V'], ['-q', '-F'], ['--help'], ['-l', '/etc/passwd']],
  ...[
    ['-d', '/etc'],
    ['-z', '/tmp/undo'],
    ['-J', 'device=/dev/sdb'],
    ['-O', 'journal_dev'],
  ],
  ...[
    ['-O', 'extent,journal_dev'],
    ['-E', 'offset=4096'],
    ['-E', 'stride=16,offset=1'],
  ],
  ...[['-e', 'panic'], ['-m'], ['-m', '/dev/sdb'], ['-m', '0', '-m', '1'], ['/dev/sdb'], ['']],
  ...[['-b', '4096', '/dev/sdb'], ['-j1'], ['-t', 'ext2'], ['-E', 'constructor=1'], ['-o', 'x']],
].map((args): [FileSystemType, string[]] => ['ext4', args]);
BAD.push(
  ...[
    ...[['-f'], ['-N'], ['-p', '/proto'], ['-d', 'name=/dev/sdb'], ['-d', 'file'], ['-c', 'x']],
    ...[
      ['-d', 'rtdev=/dev/sdb'],
      ['-l', 'logdev=/dev/sdb'],
      ['-l', 'name=/x'],
      ['-l', 'file'],
    ],
    ...[['-r', 'rtdev=/dev/sdb'], ['-r', 'name=x'], ['-d', 'agcount=4,name=/x'], ['-Kf']],
    ...[['-b', '4096'], ['/dev/sdb'], ['-d', 'size=1g'], ['-L', 'a/b'], ['-i', 'size=']],
  ].map((args): [FileSystemType, string[]] => ['xfs', args]),
);

describe('what users may tell mkfs', () => {
  for (const [type, args] of GOOD) {
    it(`${type}: ${args.join(' ')}`, () => assert.ok(parseFormatOptions(type, args).size > 0));
  }
  for (const [type, args] of BAD) {
    it(`is not, for ${type}: ${JSON.stringify(args)}`, () => {
      assert.throws(
        () => parseFormatOptions(type, args),
        (error) => hasCode(error, 'INVALID_ARGUMENT'),
      );
    });
  }

  it('is bounded in number and length', () => {
    for (const args of [Array<string>(33).fill('-m'), ['-L', 'x'.repeat(257)]]) {
      assert.throws(
        () => parseFormatOptions('ext4', args),
        (error) => hasCode(error, 'LIMIT_EXCEEDED'),
      );
    }
  });

  it('is added to what we say ourselves, and wins where both cannot be', () => {
    const of = (type: FileSystemType, formatOptions: string[], physicalBlockBytes = 4096) =>
      mkfsCommand({ type, formatOptions, target: '/i', physicalBlockBytes, force: false }).args;
    const extended = 'nodiscard,lazy_itable_init=1';
    assert.deepEqual(of('ext4', []), ['-q', '-b', '4096', '-E', extended, '/i']);
    assert.deepEqual(of('ext4', [], 512), ['-q', '-E', extended, '/i']);
    assert.deepEqual(of('ext4', ['-b1024', '-E', 'stride=4']), [
      ...['-q', '-b', '1024', '-E', `${extended},stride=4`, '/i'],
    ]);
    assert.deepEqual(of('xfs', []), ['-q', '-s', 'size=4096', '-K', '/i']);
    assert.deepEqual(of('xfs', ['-s', 'size=512', '-K']), ['-q', '-s', 'size=512', '-K', '/i']);
  });
});

describe('what users may tell mount', () => {
  const good: [FileSystemType, string][] = [
    ['ext4', 'noatime'],
    ['ext4', 'errors=remount-ro'],
    ['ext4', 'data=ordered'],
    ['ext4', 'commit=30'],
    ['ext4', 'context="system_u:object_r:container_file_t:s0:c1,c2"'],
    ['xfs', 'nouuid'],
    ['xfs', 'allocsize=1m'],
    ['xfs', 'discard'],
  ];
  for (const [type, option] of good) {
    it(`${type}: ${option}`, () => checkMountOptions([option], [type]));
  }

  const bad = [
    ...[
      'bind',
      'rbind',
      'move',
      'remount',
      'loop',
      'loop=/dev/loop0',
      'offset=4096',
      'sizelimit=1',
    ],
    ...[
      'x-mount.mkdir',
      'X-mount.subdir=etc',
      'x-systemd.automount',
      'helper=evil',
      'uhelper=evil',
    ],
    ...['user', 'users', 'owner', 'shared', 'private', 'journal_path=/dev/sdb', 'journal_dev=8:16'],
    ...['errors=panic', 'noatime,bind', 'noatime,loop', 'commit=1,bind', 'ro', 'rw', 'sb=1', ''],
    ...[
      'verity.hashdevice=/dev/sdb',
      'context=a,bind',
      'context="a",bind',
      'usrjquota=/etc/passwd',
    ],
    ...['nouuid', 'constructor', 'data="a"b'],
  ];
  for (const option of bad) {
    it(`is not, for ext4: ${JSON.stringify(option)}`, () => {
      assert.throws(
        () => checkMountOptions([option], ['ext4']),
        (error) => hasCode(error, 'INVALID_ARGUMENT'),
      );
    });
  }

  it('is named in errors by its key alone', () => {
    assert.throws(
      () => checkMountOptions(['password=hunter2'], ['ext4']),
      (error) => error instanceof Error && !/hunter2/.test(error.message + String(error)),
    );
    assert.equal(keysOf(['noatime', 'context="secret"']), 'noatime, context');
  });

  it('reaches a bind mount as far as it can have it for itself', () => {
    assert.deepEqual(bindOptions(['nosuid', 'discard', 'noatime', 'commit=5']), [
      'nosuid',
      'noatime',
    ]);
  });
});
