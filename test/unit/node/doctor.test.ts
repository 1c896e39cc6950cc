import assert from 'node:assert/strict';

import { CommandError, type CommandRunner } from '../../../src/node/command.js';
import { hardOpenFileLimit } from '../../../src/node/doctor-agent.js';
import { type Finding, examine } from '../../../src/node/doctor.js';
import type { FileSystemInfo, Machine } from '../../../src/node/machine.js';
import { isVendorBlacklisted } from '../../../src/node/multipath.js';

const EXT4 = 0xef53;
const TMPFS = 0x01021994;
const GIB = 1024n ** 3n;
const PROGRAMS =
  'iscsiadm findmnt blkid lsblk mkfs.ext4 mkfs.xfs e2fsck resize2fs xfs_growfs filefrag cryptsetup fallocate fsfreeze fstrim flock nsenter modprobe'.split(
    ' ',
  );

/** A machine on which everything is in order until a test breaks it. */
class FakeMachine implements Machine {
  readonly kernelRelease = '6.1.0';
  readonly files = new Map([
    [
      '/proc/self/limits',
      'Max open files            1024                 1048576              files\n',
    ],
    ['/proc/net/unix', '0: 00000002 0 00010000 0001 01 1 @ISCSIADM_ABSTRACT_NAMESPACE\n'],
  ]);
  readonly existing = new Set(['/sys/module/iscsi_tcp', '/sys/module/nbd']);
  readonly programs = new Set(PROGRAMS);
  fileSystem: FileSystemInfo = {
    magic: EXT4,
    freeBytes: 100n * GIB,
    directory: '/srv',
    writable: true,
  };

  readText(path: string): Promise<string | null> {
    return Promise.resolve(this.files.get(path) ?? null);
  }
  listDirectory(path: string): Promise<string[]> {
    const below = [...this.files.keys()].filter((file) => file.startsWith(`${path}/`));
    return Promise.resolve(below.map((file) => file.split('/').slice(0, 3).join('/')));
  }
  exists(path: string): Promise<boolean> {
    return Promise.resolve(this.existing.has(path));
  }
  findProgram(name: string): Promise<string | null> {
    return Promise.resolve(this.programs.has(name) ? `/usr/sbin/${name}` : null);
  }
  fileSystemOf(): Promise<FileSystemInfo> {
    return Promise.resolve(this.fileSystem);
  }
}

class FakeRunner implements CommandRunner {
  constructor(private readonly stdout: string | null) {}
  run(program: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
    if (this.stdout !== null) return Promise.resolve({ stdout: this.stdout, stderr: '' });
    return Promise.reject(new CommandError(program, args, 1, '', 'ended with code 1'));
  }
}

const BLACKLIST =
  'blacklist {\n\tdevnode "^sr"\n\tdevice {\n\t\tvendor "AUROCHS"\n\t\tproduct ".*"\n\t}\n}\n';

describe('doctor', () => {
  let machine: FakeMachine;
  beforeEach(() => {
    machine = new FakeMachine();
  });

  /** `problem` is what keeps the native core from using what it would like to use. */
  const look = (multipath: string | null = '', problem: () => string | null = () => null) =>
    examine(machine, new FakeRunner(multipath), {
      dataDirectory: '/srv/aurochs',
      ioUringProblem: problem,
      ioFlusherProblem: problem,
    });

  const find = async (check: string, multipath: string | null = ''): Promise<Finding> => {
    const finding = (await look(multipath)).find((candidate) => candidate.check === check);
    assert.ok(finding, `no check ${check}`);
    return finding;
  };

  it('finds nothing wrong on a machine in order', async () => {
    const findings = await look();
    assert.deepEqual([...new Set(findings.map(({ severity }) => severity))], ['ok']);
    const names = findings.map(({ check }) => check);
    assert.equal(new Set(names).size, names.length);
  });

  it('says what everything that is not in order means and what to do', async () => {
    machine.files.clear();
    machine.files.set('/proc/7/comm', 'multipathd\n');
    machine.existing.clear();
    machine.existing.add('/run/systemd/system');
    machine.programs.clear();
    machine.fileSystem = { magic: TMPFS, freeBytes: GIB, directory: '/', writable: true };
    const findings = await look('', () => 'Operation not permitted');
    assert.deepEqual(
      findings.filter(({ severity, meaning, hint }) => severity === 'ok' || !meaning || !hint),
      [],
    );
  });

  it('falls back without io_uring and says so, with the setting that forbids it', async () => {
    machine.files.set('/proc/sys/kernel/io_uring_disabled', '2\n');
    const [finding] = await look('', () => 'Operation not permitted');
    assert.equal(finding?.severity, 'warning');
    assert.match(finding.meaning ?? '', /epoll/);
    assert.match(finding.hint ?? '', /sysctl kernel\.io_uring_disabled=0 \(it is 2\)/);
  });

  it('says what it means when the threads of the data path may not be I/O flushers', async () => {
    const findings = await look('', () => 'it takes CAP_SYS_RESOURCE');
    const finding = findings.find(({ check }) => check === 'io-flusher');
    assert.equal(finding?.severity, 'warning');
    assert.match(finding.message, /CAP_SYS_RESOURCE/);
    assert.match(finding.meaning ?? '', /memory is short/);
  });

  it('fails when the native core cannot be loaded', async () => {
    const [finding] = await look('', () => {
      throw new Error('no such file');
    });
    assert.equal(finding?.severity, 'error');
    assert.match(finding.message, /no such file/);
  });

  it('tells a module that only has to be loaded from one that the kernel lacks', async () => {
    machine.existing.delete('/sys/module/nbd');
    assert.match((await find('module-nbd')).message, /has no module nbd/);
    machine.files.set('/lib/modules/6.1.0/modules.dep', 'kernel/drivers/block/nbd.ko.xz:\n');
    assert.match((await find('module-nbd')).hint ?? '', /^modprobe nbd/);
    machine.files.set('/lib/modules/6.1.0/modules.builtin', 'kernel/drivers/block/nbd.ko\n');
    assert.equal((await find('module-nbd')).severity, 'ok');
  });

  it('tells a missing iscsid from one that does not run', async () => {
    machine.files.delete('/proc/net/unix');
    assert.match((await find('iscsid')).hint ?? '', /apt-get install open-iscsi/);
    machine.programs.add('iscsid');
    assert.match((await find('iscsid')).hint ?? '', /systemctl enable --now/);
  });

  it('names the package of a missing program', async () => {
    machine.programs.delete('mkfs.xfs');
    const finding = await find('program-mkfs-xfs');
    assert.deepEqual([finding.severity, finding.hint], ['warning', 'apt-get install xfsprogs']);
  });

  it('warns about a multipathd that would take our disks', async () => {
    machine.files.set('/proc/42/comm', 'multipathd\n');
    assert.equal((await find('multipathd', '')).severity, 'warning');
    assert.equal((await find('multipathd', null)).severity, 'warning');
    assert.equal((await find('multipathd', BLACKLIST)).severity, 'ok');
  });

  it('does not take an exception from the blacklist for the blacklist', () => {
    assert.equal(isVendorBlacklisted(BLACKLIST), true);
    assert.equal(
      isVendorBlacklisted(BLACKLIST.replace('blacklist', 'blacklist_exceptions')),
      false,
    );
  });

  it('judges the data directory by its file system', async () => {
    machine.fileSystem = { ...machine.fileSystem, magic: TMPFS };
    assert.match((await find('data-directory')).meaning ?? '', /gone after a reboot/);
    machine.fileSystem = { ...machine.fileSystem, magic: 0x12345 };
    assert.match((await find('data-directory')).message, /type 0x12345/);
    machine.fileSystem = { ...machine.fileSystem, writable: false };
    assert.equal((await find('data-directory')).severity, 'error');
  });

  it('judges free space and open files by how much there is', async () => {
    for (const [freeBytes, severity] of [
      [100n * GIB, 'ok'],
      [2n * GIB, 'warning'],
      [1n, 'error'],
    ] as const) {
      machine.fileSystem = { ...machine.fileSystem, freeBytes };
      assert.equal((await find('free-space')).severity, severity);
    }
    for (const [limit, severity] of [
      ['unlimited', 'ok'],
      ['4096', 'warning'],
      ['256', 'error'],
    ] as const) {
      machine.files.set('/proc/self/limits', `Max open files            64   ${limit}   files\n`);
      assert.equal((await find('open-files')).severity, severity);
    }
    assert.equal(hardOpenFileLimit('nothing of the kind'), null);
  });
});
