/**
 * Runs the specs named on the command line, or all of them: NAME.guest.ts inside a guest of its own,
 * NAME.host.ts here, where it boots guests and cuts their power.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Mocha from 'mocha';

import { root } from '../../support/repository.js';
import { createImage, plainDisk } from './disk.js';
import { bootGuest } from './guest.js';
import { ensureKernel, runDirectory } from './kernel.js';
import type { GuestMessage } from './messages.js';
import { NEEDS } from './specs.js';

const SPECS = join(root, 'dist/test/e2e');
const DISK_BYTES = 4 * 1024 ** 3;

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

interface Spec {
  name: string;
  kind: 'guest' | 'host';
  module: string;
}

function allSpecs(): Spec[] {
  const sources = readdirSync(join(root, 'test/e2e')).sort();
  return sources.flatMap((source) => {
    const [, name, kind] = /^(.+)\.(guest|host)\.ts$/.exec(source) ?? [];
    if (name === undefined) return [];
    const module = join(SPECS, source.replace(/ts$/, 'js'));
    return [{ name, kind: kind as Spec['kind'], module }];
  });
}

async function runInGuest({ name, module }: Spec, directory: string): Promise<Totals> {
  const say = (line: string): void => console.log(`${name}: ${line}`);
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  const started = performance.now();
  const onMessage = (message: GuestMessage): void => {
    if (message.type === 'booted') say(`booted in ${secondsSince(started)} s`);
    if (message.type === 'note') say(`    ${message.text}`);
    if (message.type !== 'test') return;
    totals[message.state] += 1;
    const sign = { passed: '✔', failed: '✖', skipped: '-' }[message.state];
    say(`${sign} ${message.title} (${(message.ms / 1000).toFixed(1)} s)`);
    if (message.error !== '') say(message.error.replace(/^/gm, '      '));
  };
  const image = join(directory, 'disk.img');
  createImage(image, DISK_BYTES);
  const { prepareHost, ...needs } = NEEDS[name] ?? {};
  try {
    prepareHost?.();
    const guest = bootGuest({
      task: { kind: 'specs', module, argument: null },
      directory,
      disks: [plainDisk(image)],
      onMessage,
      ...needs,
    });
    await guest.ended();
    if (totals.failed > 0) say(`console log: ${guest.consoleLog}`);
  } catch (error) {
    totals.failed += 1;
    say(`✖ ${error instanceof Error ? error.message : String(error)}`);
  }
  return totals;
}

async function runOnHost({ module }: Spec): Promise<Totals> {
  const mocha = new Mocha({ timeout: 0, forbidOnly: true, reporter: 'spec' });
  mocha.addFile(module);
  await mocha.loadFilesAsync();
  const runner = await new Promise<Mocha.Runner>((resolve) => {
    const running = mocha.run(() => resolve(running));
  });
  const stats = runner.stats;
  return {
    passed: stats?.passes ?? 0,
    failed: stats?.failures ?? 1,
    skipped: stats?.pending ?? 0,
  };
}

async function runSpec(spec: Spec): Promise<Totals> {
  console.log(`${spec.name} …`);
  const started = performance.now();
  const directory = runDirectory(spec.name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const totals = spec.kind === 'guest' ? await runInGuest(spec, directory) : await runOnHost(spec);
  if (totals.failed === 0) rmSync(directory, { recursive: true });
  const result = `${totals.passed} passed, ${totals.failed} failed`;
  console.log(`${spec.name}: ${result} in ${secondsSince(started)} s`);
  return totals;
}

function secondsSince(started: number): string {
  return ((performance.now() - started) / 1000).toFixed(1);
}

async function main(wanted: readonly string[]): Promise<void> {
  const specs = allSpecs();
  const unknown = wanted.find((name) => !specs.some((spec) => spec.name === name));
  if (unknown !== undefined) {
    const names = specs.map(({ name }) => name).join(' ');
    console.error(`error: there is no spec ${unknown}\nnext: choose from: ${names}`);
    process.exitCode = 2;
    return;
  }
  ensureKernel();
  const chosen = specs.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  const sum: Totals = { passed: 0, failed: 0, skipped: 0 };
  const [hosts = [], guests = []] = (['host', 'guest'] as const).map((kind) =>
    chosen.filter((spec) => spec.kind === kind),
  );
  const runOneAfterTheOther = async (next: () => Spec | undefined): Promise<void> => {
    for (let spec = next(); spec !== undefined; spec = next()) {
      const totals = await runSpec(spec);
      for (const key of ['passed', 'failed', 'skipped'] as const) sum[key] += totals[key];
    }
  };
  // Two at once: a guest seldom keeps more than one processor busy. Those that run here are never two.
  await Promise.all([
    runOneAfterTheOther(() => hosts.shift() ?? guests.shift()),
    runOneAfterTheOther(() => guests.shift()),
  ]);
  const file = process.env['AUROCHS_MOCHA_TOTALS'];
  if (file !== undefined) writeFileSync(file, JSON.stringify(sum));
  process.exitCode = sum.failed === 0 ? 0 : 1;
}

await main(process.argv.slice(2));
