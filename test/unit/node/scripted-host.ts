/**
 * A machine in a scratch directory: sysfs, /dev, the database of open-iscsi, and a runner in the place of the programs
 * that need a kernel. What it prints and ends with was taken from open-iscsi 2.1.8 and util-linux 2.38.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { release } from 'node:os';
import { dirname, join } from 'node:path';

import { CommandError, type CommandRunner } from '../../../src/node/command.js';
import { Host } from '../../../src/node/host-namespaces.js';
import { backendIdentifier } from '../../../src/node/nbd-device.js';
import type { DeviceRequest, KernelNbd, KernelNbdOptions } from '../../../src/volume/ports.js';
import { Scratch } from '../../support/scratch.js';

export const SERIAL = '0123456789abcdef';
export const SIZE_BYTES = 16n * 1024n * 1024n;
const TARGET = 'iqn.2026-11.io.aurochs:db';
const RECORD = `/etc/iscsi/nodes/${TARGET}/127.0.0.1,3260,1/default`;

type Program = (args: readonly string[]) => string | CommandError;

export class ScriptedHost implements CommandRunner, KernelNbd {
  readonly scratch = new Scratch();
  readonly host = new Host(this, { root: this.scratch.path, process: '1', enter: false });
  readonly calls: string[][] = [];
  readonly programs = new Map<string, Program>();
  /** What the target says and whether its disk comes. */
  disk = { serial: SERIAL, vendor: 'AUROCHS ', sizeBytes: SIZE_BYTES, appears: true };
  loginExit = 0;
  readonly nbdCalls: string[] = [];
  nbdSizeBytes = SIZE_BYTES;

  constructor() {
    this.write(
      '/proc/1/net/unix',
      '0: 00000002 0 00010000 0001 01 1 @ISCSIADM_ABSTRACT_NAMESPACE\n',
    );
    this.write('/proc/1/mountinfo', '');
    this.write('/sys/module/iscsi_tcp/refcnt', '0');
    this.write('/sys/module/nbd/refcnt', '0');
    this.write('/sys/module/sd_mod/refcnt', '0');
    this.write('/sys/class/scsi_host/host2/scan', '');
    this.write(`/lib/modules/${release()}/modules.dep`, '');
    for (const folder of ['/sys/block', '/dev', '/run/lock', '/etc/iscsi/nodes']) {
      mkdirSync(this.at(folder), { recursive: true });
    }
    this.write('/usr/sbin/iscsiadm', '', 0o755);
    this.programs.set('flock', (args) => this.#iscsiadm(args.slice(args.indexOf('iscsiadm') + 1)));
  }

  at(path: string): string {
    return this.scratch.path + path;
  }

  write(path: string, text: string | Buffer, mode = 0o644): void {
    mkdirSync(dirname(this.at(path)), { recursive: true });
    writeFileSync(this.at(path), text, { mode });
  }

  read(path: string): string {
    return readFileSync(this.at(path), 'utf8');
  }

  exists(path: string): boolean {
    return existsSync(this.at(path));
  }

  remove(path: string): void {
    rmSync(this.at(path), { recursive: true, force: true });
  }

  run(program: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
    this.calls.push([program, ...args]);
    const answer = this.programs.get(program)?.(args) ?? failure(program, args, null, '');
    if (answer instanceof CommandError) return Promise.reject(answer);
    return Promise.resolve({ stdout: answer, stderr: '' });
  }

  mounted(mountPoint: string, deviceNumber = '8:0', options = 'rw,relatime'): void {
    this.write(
      '/proc/1/mountinfo',
      `${this.read('/proc/1/mountinfo')}36 35 ${deviceNumber} / ${mountPoint} ${options} shared:1 - ext4 /dev/sda rw\n`,
    );
  }

  /** What is left of an attached volume: nothing, when the list is empty. */
  leftovers(): string[] {
    return [
      '/sys/class/iscsi_session/session1',
      '/sys/block/sda',
      '/sys/block/nbd0/backend',
      `/etc/iscsi/nodes/${TARGET}`,
      '/dev/aurochs/db',
    ].filter((path) => this.exists(path));
  }

  recordWithLengthZero(): void {
    this.write(RECORD, '');
  }

  get record(): string {
    return this.read(RECORD);
  }

  logIn(portal = ['127.0.0.1', '3260'], state = 'LOGGED_IN'): void {
    const session = '/sys/devices/platform/host2/session1/iscsi_session/session1';
    this.write(`${session}/targetname`, `${TARGET}\n`);
    this.write(`${session}/state`, `${state}\n`);
    mkdirSync(this.at('/sys/class/iscsi_session'), { recursive: true });
    symlinkSync(
      '../../devices/platform/host2/session1/iscsi_session/session1',
      this.at('/sys/class/iscsi_session/session1'),
    );
    symlinkSync('../../../session1', this.at(`${session}/device`));
    this.write('/sys/class/iscsi_connection/connection1:0/persistent_address', `${portal[0]}\n`);
    this.write('/sys/class/iscsi_connection/connection1:0/persistent_port', `${portal[1]}\n`);
    if (this.disk.appears) this.appear();
  }

  appear(): void {
    const { serial, vendor, sizeBytes } = this.disk;
    mkdirSync(this.at('/sys/devices/platform/host2/session1/target2:0:0/2:0:0:1/block/sda'), {
      recursive: true,
    });
    this.write('/sys/block/sda/size', `${sizeBytes / 512n}\n`);
    this.write('/sys/block/sda/dev', '8:0\n');
    this.write('/sys/block/sda/device/vendor', `${vendor}\n`);
    this.write('/sys/block/sda/device/vpd_pg80', Buffer.from(`\0\x80\0\x10${serial}`, 'latin1'));
    this.write('/sys/block/sda/device/timeout', '30\n');
    this.write('/sys/block/sda/device/rescan', '');
    this.write('/dev/sda', '');
    truncateSync(this.at('/dev/sda'), Number(sizeBytes));
  }

  // -- KernelNbd

  connect(options: KernelNbdOptions): Promise<number> {
    this.nbdCalls.push(`connect ${options.address} ${options.exportName}`);
    this.write('/sys/block/nbd0/backend', `${options.identifier}\n`);
    this.write('/sys/block/nbd0/size', `${this.nbdSizeBytes / 512n}\n`);
    this.write('/sys/block/nbd0/dev', '43:0\n');
    this.write('/dev/nbd0', '');
    return Promise.resolve(0);
  }

  reconnect(index: number): Promise<void> {
    this.nbdCalls.push(`reconnect ${index}`);
    return Promise.resolve();
  }

  resize(index: number, sizeBytes: bigint): Promise<void> {
    this.nbdCalls.push(`resize ${index} ${sizeBytes}`);
    this.write(`/sys/block/nbd${index}/size`, `${sizeBytes / 512n}\n`);
    return Promise.resolve();
  }

  disconnect(index: number): Promise<void> {
    this.nbdCalls.push(`disconnect ${index}`);
    this.remove(`/sys/block/nbd${index}/backend`);
    return Promise.resolve();
  }

  #iscsiadm(args: readonly string[]): string | CommandError {
    const fails = (code: number, stderr: string) => failure('iscsiadm', args, code, stderr);
    if (args.includes('new')) {
      if (this.exists(RECORD) && this.record === '') {
        return fails(
          6,
          'iscsiadm: Error while adding record: encountered iSCSI database failure\n',
        );
      }
      this.write(RECORD, NEW_RECORD);
      return `New iSCSI node [tcp:[hw=,ip=,net_if=,iscsi_if=default] 127.0.0.1,3260,1 ${TARGET}] added\n`;
    }
    if (args.includes('delete')) {
      if (!this.exists(RECORD)) return fails(21, 'iscsiadm: No records found\n');
      this.remove(`/etc/iscsi/nodes/${TARGET}`);
      return '';
    }
    if (args.includes('-l')) {
      if (this.loginExit !== 0) {
        return fails(
          this.loginExit,
          `iscsiadm: Could not login to [iface: default, target: ${TARGET}, portal: 127.0.0.1,3260].\n` +
            `iscsiadm: initiator reported error (${this.loginExit} - cause)\n` +
            'iscsiadm: Could not log into all portals\n',
        );
      }
      this.logIn();
      return '';
    }
    if (!this.exists('/sys/class/iscsi_session/session1')) {
      return fails(22, 'iscsiadm: Could not get session info for sid 1\n');
    }
    for (const path of ['/sys/class/iscsi_session/session1', '/sys/devices', '/sys/block/sda']) {
      this.remove(path);
    }
    this.remove('/dev/sda');
    return '';
  }
}

export function failure(
  program: string,
  args: readonly string[],
  exitCode: number | null,
  stderr: string,
  stdout = '',
): CommandError {
  const missing = Object.assign(new Error('spawn'), { code: 'ENOENT' });
  const options = exitCode === null ? { cause: missing } : {};
  return new CommandError(program, args, exitCode, stderr, 'failed', options, stdout);
}

export function request(
  frontend: 'iscsi' | 'nbd',
  changes: Partial<DeviceRequest> = {},
): DeviceRequest {
  const address = frontend === 'iscsi' ? '127.0.0.1:3260' : 'unix:/run/aurochs/nbd.sock';
  const name = frontend === 'iscsi' ? TARGET : 'db';
  return {
    volume: 'db',
    serial: SERIAL,
    sizeBytes: SIZE_BYTES,
    readOnly: false,
    from: { frontend, address, name, uri: `${frontend}://${address}` },
    chap: null,
    ...changes,
  };
}

/** Of `iscsiadm -m node -o new`, shortened. */
export const NEW_RECORD = `# BEGIN RECORD 2.1.8
node.name = ${TARGET}
node.tpgt = 1
node.startup = automatic
iface.iscsi_ifacename = default
node.session.auth.authmethod = None
node.session.auth.username = of-the-machine
node.session.auth.chap_algs = MD5
node.session.timeo.replacement_timeout = 120
node.session.scan = auto
node.conn[0].address = 127.0.0.1
node.conn[0].port = 3260
# END RECORD
`;

export function nbdBackend(volume: string): string {
  return backendIdentifier(volume, SERIAL);
}

export function listDirectory(path: string): string[] {
  return existsSync(path) ? readdirSync(path).map((name) => join(path, name)) : [];
}
