/**
 * A virtual machine under software emulation whose root is this machine's own, read-only below an
 * overlay in memory. It does one task and powers itself off, unless the host cuts its power before.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { root } from '../../support/repository.js';
import type { Disk } from './disk.js';
import { ensureKernel } from './kernel.js';
import { type GuestMessage, type GuestTask, PORT_NAME } from './messages.js';

const MEMORY_MIB = 2048;
const PROCESSORS = 2;
/** A hang is noticed late rather than a busy machine taken for one. */
const TIMEOUT_MS = 900_000;
const CONSOLE_LINES_SHOWN = 40;

export interface GuestOptions {
  task: GuestTask;
  /** Holds the console log and what the guest is told; made when it is missing. */
  directory: string;
  /** `plain` runs the task as the only service; `systemd` runs it as a unit of multi-user.target. */
  init?: 'plain' | 'systemd';
  /** Shell commands that change the guest's root before its init starts. */
  prepare?: string;
  /** The guest's /dev/vda, /dev/vdb … */
  disks?: readonly Disk[];
  memoryMib?: number;
  /** A guest that is not done by then is cut off; it counts as failed. */
  timeoutMs?: number;
  onMessage?: (message: GuestMessage) => void;
}

export class Guest {
  readonly consoleLog: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #end: { error: string } | null = null;
  #timedOut = false;

  constructor(private readonly options: GuestOptions) {
    mkdirSync(options.directory, { recursive: true });
    this.consoleLog = join(options.directory, 'console.log');
    const args = qemuArguments(options, this.consoleLog);
    // Its input stays open: at the end of it qemu would close the port, and the guest would wait.
    this.#child = spawn('qemu-system-x86_64', args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#exited = once(this.#child, 'close');
    this.#child.stderr?.on('data', (bytes: Buffer) => process.stderr.write(bytes));
    if (this.#child.stdout !== null) {
      createInterface({ input: this.#child.stdout }).on('line', (line) => this.#receive(line));
    }
  }

  /** Resolves when the guest has powered off; rejects when its task failed or it died or hung. */
  async ended(): Promise<void> {
    const timeoutMs = this.options.timeoutMs ?? TIMEOUT_MS;
    const timer = setTimeout(() => {
      this.#timedOut = true;
      this.#child.kill('SIGKILL');
    }, timeoutMs);
    await this.#exited;
    clearTimeout(timer);
    if (this.#end?.error === '' && !this.#timedOut) return;
    const died = this.#timedOut ? `was not done after ${timeoutMs / 1000} s` : 'died';
    const cause = this.#timedOut || this.#end === null ? `the guest ${died}` : this.#end.error;
    throw new Error(`${cause}\n${this.consoleTail()}\nconsole log: ${this.consoleLog}`);
  }

  /** Cuts the power. What the guest has said before is delivered. */
  async cut(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  consoleTail(): string {
    if (!existsSync(this.consoleLog)) return '';
    const lines = readFileSync(this.consoleLog, 'utf8').trimEnd().split('\n');
    return lines.slice(-CONSOLE_LINES_SHOWN).join('\n');
  }

  #receive(line: string): void {
    const message = JSON.parse(line) as GuestMessage;
    if (message.type === 'ended') this.#end = message;
    this.options.onMessage?.(message);
  }
}

export function bootGuest(options: GuestOptions): Guest {
  return new Guest(options);
}

function qemuArguments(options: GuestOptions, consoleLog: string): string[] {
  const kernel = ensureKernel();
  const bootFile = writeBootFile(options, kernel.modules);
  const commandLine = [
    'console=ttyS0 quiet panic=-1 oops=panic', // A panic ends qemu (-no-reboot).
    // initramfs_async: else /init may still be open for writing when it is executed (ETXTBSY, a panic).
    'mitigations=off nokaslr random.trust_cpu=on initramfs_async=0',
    `aurochs.boot=${bootFile}`,
  ].join(' ');
  const machine = [
    ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', String(PROCESSORS)],
    ...['-m', String(options.memoryMib ?? MEMORY_MIB), '-no-reboot', '-nic', 'none'],
    ...['-display', 'none', '-monitor', 'none', '-serial', `file:${consoleLog}`],
    ...['-kernel', kernel.image, '-initrd', kernel.initramfs, '-append', commandLine],
  ];
  const share =
    'local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap,id=host';
  const port = ['-chardev', 'stdio,id=port,signal=off', '-device', 'virtio-serial-pci'];
  return [
    ...machine,
    ...['-virtfs', share],
    ...[...port, '-device', `virtserialport,chardev=port,name=${PORT_NAME}`],
    ...(options.disks ?? []).flatMap((disk) => ['-drive', disk.drive]),
  ];
}

/** Read by the shell scripts of a guest, through 9p. */
function writeBootFile(options: GuestOptions, modules: string): string {
  const task = join(options.directory, 'task.json');
  writeFileSync(task, JSON.stringify(options.task));
  const boot = join(options.directory, 'boot.env');
  if (/\s/.test(boot)) throw new Error(`a guest cannot be booted below ${root}: it has a space`);
  const run = join(root, 'test/e2e/support/guest-run.sh');
  const unit = [
    '[Unit]\nDescription=The task of this guest\nAfter=basic.target',
    `[Service]\nExecStart=/bin/sh ${run} ${boot}`,
    'StandardOutput=tty\nStandardError=tty\nTTYPath=/dev/console',
  ].join('\n');
  const values = {
    INIT: options.init ?? 'plain',
    KERNEL_MODULES: modules,
    CHECKOUT: root,
    NODE: process.execPath,
    TASK: task,
    RUN: run,
    PREPARE: options.prepare ?? '',
    UNIT: unit,
  };
  const lines = Object.entries(values).map(([name, value]) => `${name}='${value}'\n`);
  writeFileSync(boot, lines.join(''));
  return boot;
}
