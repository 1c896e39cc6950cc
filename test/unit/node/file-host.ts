/**
 * A scripted host whose volume is a file: blkid, mkfs, e2fsck, cryptsetup and readlink are the real ones. What needs a
 * kernel is written down instead: mounts in the mount table, an opened LUKS container in sysfs.
 */
import { copyFileSync, existsSync, mkdirSync, rmSync, truncateSync } from 'node:fs';

import type { CommandError } from '../../../src/node/command.js';
import {
  type CommandOptions,
  type CommandResult,
  SystemCommandRunner,
} from '../../../src/node/command.js';
import { type FormatTask, performTask, printedError } from '../../../src/node/format-task.js';
import type { NodeDevices } from '../../../src/volume/ports.js';
import { failure, ScriptedHost } from './scripted-host.js';

export const DEVICE = '/dev/aurochs/db';
export const DEVICE_BYTES = 40 * 1024 * 1024;
const MAPPING = '/dev/mapper/aurochs-db';
const LUKS_HEADER_BYTES = 16 * 1024 * 1024;

export class FileHost extends ScriptedHost {
  readonly real = new SystemCommandRunner();
  /** Programs that fail, with what. */
  readonly failing = new Map<string, CommandError>();
  attached = true;

  constructor() {
    super();
    this.logIn();
    this.write(DEVICE, '');
    truncateSync(this.at(DEVICE), DEVICE_BYTES);
    this.write('/sys/block/sda/size', `${DEVICE_BYTES / 512}\n`);
    this.write('/sys/block/sda/ro', '0\n');
    mkdirSync(this.at('/sys/dev/block/8:0'), { recursive: true });
    mkdirSync(this.at('/srv'));
  }

  readonly devices: Pick<NodeDevices, 'find'> = {
    find: (volume) =>
      Promise.resolve(
        volume === 'db' && this.attached
          ? { path: DEVICE, kernelPath: '/dev/sda', frontend: 'iscsi' }
          : null,
      ),
  };

  get images(): string {
    return this.scratch.file('images');
  }

  ran(program: string): string[][] {
    return this.calls.filter(([first]) => first === program);
  }

  override async run(
    program: string,
    args: readonly string[],
    options?: CommandOptions,
  ): Promise<CommandResult> {
    this.calls.push([program, ...args]);
    const failing = this.failing.get(program);
    if (failing !== undefined) throw failing;
    if (program === process.execPath) return this.#format(args);
    if (program === 'mount') this.#mount(args);
    else if (program === 'umount') this.#unmount(args.at(-1) ?? '');
    else if (program === 'cryptsetup') return this.#cryptsetup(args, options);
    else if (program === 'fstrim') return said('/srv/db: 4 KiB (4096 bytes) trimmed\n');
    else if (program !== 'resize2fs') return this.#really(program, args, options);
    return said('');
  }

  /** In this process, whose paths are those of the scratch directory. */
  async #format(args: readonly string[]): Promise<CommandResult> {
    try {
      await performTask(this.host, JSON.parse(args[1] ?? '') as FormatTask);
      return said('');
    } catch (error) {
      throw failure('node', args, 1, '', printedError(error));
    }
  }

  /** A line of the mount table. */
  entry(mountPoint: string, number: string, type = 'ext4', mode = 'rw', root = '/'): void {
    const line = `36 35 ${number} ${root} ${mountPoint} ${mode},relatime shared:1 - ${type} x rw\n`;
    this.write('/proc/1/mountinfo', this.read('/proc/1/mountinfo') + line);
  }

  mountPoints(): string[] {
    const lines = this.read('/proc/1/mountinfo').split('\n');
    return lines.flatMap((line) => line.split(' ')[4] ?? []);
  }

  #mount(args: readonly string[]): void {
    const [source = '', target = ''] = args.slice(-2);
    const options = (args[args.indexOf('-o') + 1] ?? '').split(',');
    const mode = options.includes('ro') ? 'ro' : 'rw';
    const number = source === MAPPING ? '253:0' : '8:0';
    if (!options.includes('bind')) {
      this.entry(target, number, args[args.indexOf('-t') + 1], mode);
    } else if (source.startsWith('/dev/')) {
      this.entry(target, '0:6', 'devtmpfs', mode, source.slice('/dev'.length));
    } else {
      const lines = this.read('/proc/1/mountinfo').split('\n');
      const fields = lines.find((line) => line.split(' ')[4] === source)?.split(' ') ?? [];
      this.entry(target, fields[2] ?? '', fields[fields.indexOf('-') + 1], mode);
    }
  }

  #unmount(mountPoint: string): void {
    const lines = this.read('/proc/1/mountinfo').split('\n');
    const last = lines.map((line) => line.split(' ')[4]).lastIndexOf(mountPoint);
    this.write('/proc/1/mountinfo', lines.filter((_, index) => index !== last).join('\n'));
  }

  async #cryptsetup(
    args: readonly string[],
    options: CommandOptions | undefined,
  ): Promise<CommandResult> {
    if (args[0] === 'resize') return said('');
    if (args[0] === 'close') {
      copyFileSync(this.at(MAPPING), this.scratch.file('inside'));
      for (const path of [MAPPING, '/sys/block/dm-0', '/sys/block/sda/holders', '/dev/dm-0']) {
        this.remove(path);
      }
      return said('');
    }
    if (args[0] === 'luksFormat') {
      // Else it takes seconds to find out how long deriving a key takes.
      const cheap = ['luksFormat', '--pbkdf-force-iterations', '1000', ...args.slice(1)];
      return this.#really('cryptsetup', cheap, options);
    }
    if (args[0] !== 'open') return this.#really('cryptsetup', args, options);
    await this.#really('cryptsetup', ['open', '--test-passphrase', ...args.slice(1, -1)], options);
    this.write('/sys/block/dm-0/dm/name', 'aurochs-db\n');
    this.write('/sys/block/dm-0/dm/uuid', 'CRYPT-LUKS2-0-aurochs-db\n');
    this.write('/sys/block/dm-0/dev', '253:0\n');
    this.write('/sys/block/dm-0/ro', args.includes('--readonly') ? '1\n' : '0\n');
    this.write('/sys/block/dm-0/size', `${(DEVICE_BYTES - LUKS_HEADER_BYTES) / 512}\n`);
    mkdirSync(this.at('/sys/block/dm-0/slaves/sda'), { recursive: true });
    mkdirSync(this.at('/sys/block/sda/holders/dm-0'), { recursive: true });
    mkdirSync(this.at('/sys/dev/block/253:0'), { recursive: true });
    this.write('/dev/dm-0', '');
    this.write(MAPPING, 'noise that a new container shows inside');
    truncateSync(this.at(MAPPING), DEVICE_BYTES - LUKS_HEADER_BYTES);
    const before = this.scratch.file('inside');
    if (existsSync(before)) copyFileSync(before, this.at(MAPPING));
    return said('');
  }

  async #really(
    program: string,
    args: readonly string[],
    options?: CommandOptions,
  ): Promise<CommandResult> {
    const isHosts = (arg: string): boolean => arg.startsWith('/') && !arg.startsWith('/proc/');
    const there = args.map((arg) => (isHosts(arg) ? this.at(arg) : arg));
    const { stdout, stderr } = await this.real.run(program, there, options);
    return { stdout: stdout.replace(this.scratch.path, ''), stderr };
  }

  /** As a new volume. */
  wipe(): void {
    truncateSync(this.at(DEVICE), 0);
    truncateSync(this.at(DEVICE), DEVICE_BYTES);
    rmSync(this.scratch.file('inside'), { force: true });
  }
}

function said(stdout: string): CommandResult {
  return { stdout, stderr: '' };
}
