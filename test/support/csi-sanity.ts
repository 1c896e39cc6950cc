/**
 * csi-sanity, the conformance suite of the Kubernetes CSI project: how it is built and run, and which of its specs need
 * not run. The suite `csi` and the spec of the same name in a virtual machine share it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { type ProgramResult, RunningProgram } from './programs.js';
import { root } from './repository.js';

const SANITY = 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.6.0';
export const SANITY_PROGRAM = join(root, 'build/csi-sanity');

const LATER = 'a call of a later version than 1.11';
/** Specs that are not run, by a part of their name, with the reason. Any other that is skipped counts as failed. */
const SKIPPED: readonly (readonly [part: string, reason: string])[] = [
  ['pagination should detect volumes added between pages', 'csi-sanity has it switched off'],
  ['more volumes than the node max attach limit', 'nodes have no limit'],
  ['creating a snapshot with accessibility requirements', LATER],
  ['GetSnapshot [Controller Server]', LATER],
  ['ControllerGetVolumeHealth', LATER],
  ['ControllerListVolumeHealth', LATER],
  ['NodeGetVolumeHealth', LATER],
  ['NodeGetStorageHealth', LATER],
];

/** Builds it unless it is there; false where there is no Go. */
export function buildSanity(): boolean {
  if (existsSync(SANITY_PROGRAM)) return true;
  if (spawnSync('go', ['version']).status !== 0) return false;
  console.error('building csi-sanity …');
  const env = { ...process.env, GOBIN: join(root, 'build'), GOFLAGS: '-buildvcs=false' };
  const { status, stderr } = spawnSync('go', ['install', SANITY], { env, encoding: 'utf8' });
  if (status === 0) return true;
  throw new Error(
    `csi-sanity cannot be built: go install ${SANITY} ended with ${status}\n${stderr}`,
  );
}

export interface SanityOptions {
  endpoint: string;
  /** A directory of its own: the report, and where volumes are staged and mounted. */
  directory: string;
  /** Parameters of the volumes that it makes. */
  parameters?: Readonly<Record<string, string>>;
  /** Further arguments of csi-sanity. */
  more?: readonly string[];
  timeoutMs: number;
}

export interface SanityResult {
  passed: number;
  skipped: number;
  /** One sentence each. */
  failures: string[];
  /** What ginkgo reports; each request and answer besides goes to standard error, which nobody needs. */
  output: string;
}

export async function runSanity(options: SanityOptions): Promise<SanityResult> {
  const { endpoint, directory, parameters = {}, more = [], timeoutMs } = options;
  mkdirSync(directory, { recursive: true });
  const report = join(directory, 'junit.xml');
  const mutable = { staleReplicaTimeout: '10', dataLocality: 'best-effort' };
  const args = [
    `--csi.endpoint=${endpoint}`,
    `--csi.mountdir=${directory}/mount`,
    `--csi.stagingdir=${directory}/staging`,
    `--csi.testvolumeparameters=${yamlFile(directory, 'parameters', parameters)}`,
    `--csi.testvolumemutableparameters=${yamlFile(directory, 'mutable', mutable)}`,
    `--ginkgo.junit-report=${report}`,
    '--ginkgo.no-color',
    ...more,
  ];
  const { code, stdout, stderr } = await new RunningProgram(SANITY_PROGRAM, args, timeoutMs).result;
  if (!existsSync(report)) {
    const failures = [`csi-sanity ended with ${code}\n${stderr}`];
    return { passed: 0, skipped: 0, failures, output: stdout };
  }
  return { ...judge(specsIn(report), code, more), output: stdout };
}

function yamlFile(directory: string, name: string, values: Readonly<Record<string, string>>) {
  const path = join(directory, `${name}.yaml`);
  const lines = Object.entries(values).map(([key, value]) => `${key}: "${value}"\n`);
  writeFileSync(path, lines.join(''));
  return path;
}

interface Spec {
  name: string;
  status: string;
}

/** Every spec in a JUnit report of ginkgo's. */
function specsIn(report: string): Spec[] {
  const xml = readFileSync(report, 'utf8');
  const cases = xml.matchAll(/<testcase name="\[It\] ([^"]*)"[^>]* status="([a-z]+)"/g);
  return [...cases].map(([, name = '', status = '']) => ({ name, status }));
}

function judge(
  specs: readonly Spec[],
  code: ProgramResult['code'],
  more: readonly string[],
): Omit<SanityResult, 'output'> {
  const passed = specs.filter(({ status }) => status === 'passed');
  const skipped = specs.filter(({ status }) => status === 'skipped' || status === 'pending');
  const failed = specs.filter((spec) => !passed.includes(spec) && !skipped.includes(spec));
  // Who asks for some specs skips the others.
  const unlisted = more.some((each) => each.startsWith('--ginkgo.'))
    ? []
    : skipped.filter(({ name }) => !SKIPPED.some(([part]) => name.includes(part)));
  const failures = [
    ...failed.map(({ name, status }) => `${status}: ${name}`),
    ...unlisted.map(({ name }) => `not on the list of skipped specs: ${name}`),
  ];
  if (failures.length === 0 && (code !== 0 || passed.length === 0)) {
    failures.push(`csi-sanity ended with ${code}, ${passed.length} passed`);
  }
  return { passed: passed.length, skipped: skipped.length - unlisted.length, failures };
}
