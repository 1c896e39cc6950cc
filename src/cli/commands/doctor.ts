import type { ApiClient } from '../../api/client.js';
import type { DoctorFinding } from '../../api/types.js';
import { AurochsError } from '../../core/errors.js';
import { defaultDataDir, surroundings } from '../../daemon/config.js';
import { examineMachine } from '../../daemon/doctor.js';
import { command } from '../command.js';
import type { Output } from '../output.js';

export const doctor = command({
  usage: 'doctor',
  describe: 'Say what on this machine stands in the way, and what to do about it',
  examples: [
    ['$0 doctor', 'with what the agent sees when one runs'],
    ['$0 doctor --data-dir /srv/aurochs', 'before the agent runs there for the first time'],
    ['$0 doctor -o json', 'all findings, also the good ones'],
  ],
  positionals: {},
  options: {
    'data-dir': {
      type: 'string',
      requiresArg: true,
      describe: 'Data directory to look at',
      defaultDescription: 'that of the agent',
    },
  },
  run: async ({ args, api, output }) => {
    const findings = await gather(api, args.dataDir);
    if (output.format === 'json') output.json(findings);
    else printFindings(findings, output);
    const errors = findings.filter(({ severity }) => severity === 'error').length;
    if (errors === 0) return;
    const message = errors === 1 ? 'one check failed' : `${errors} checks failed`;
    throw new AurochsError('FAILED_PRECONDITION', message, 'Do what stands beside "next:" above.');
  },
});

/** What the agent says of itself, and what this command sees of the machine around it. */
async function gather(api: ApiClient, dataDir: string | undefined): Promise<DoctorFinding[]> {
  const agent = await askAgent(api);
  const directory = dataDir ?? agent.dataDir ?? defaultDataDir(surroundings());
  const known = new Set(agent.findings.map(({ check }) => check));
  const own = await examineMachine(directory);
  return [...agent.findings, ...own.filter(({ check }) => !known.has(check))];
}

async function askAgent(
  api: ApiClient,
): Promise<{ findings: DoctorFinding[]; dataDir: string | null }> {
  const check = 'agent';
  try {
    const { version, state, dataDir } = await api.health();
    const message = `agent ${version} at ${api.socketPath} is ${state}`;
    return { findings: [{ check, severity: 'ok', message }, ...(await api.doctor())], dataDir };
  } catch (error) {
    if (!(error instanceof AurochsError)) throw error;
    const finding: DoctorFinding = {
      check,
      severity: 'warning',
      message: error.message,
      meaning: 'No volume is served.',
      hint: error.hint ?? 'Start one with: aurochs agent',
    };
    return { findings: [finding], dataDir: null };
  }
}

const SIGNS = { ok: 'ok  ', warning: 'warn', error: 'FAIL' } as const;

function printFindings(findings: readonly DoctorFinding[], output: Output): void {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const indent = ' '.repeat(SIGNS.ok.length + width + 4);
  for (const { check, severity, message, meaning, hint } of findings) {
    output.line(`${SIGNS[severity]}  ${check.padEnd(width)}  ${message}`);
    if (meaning !== undefined) output.line(indent + meaning);
    if (hint !== undefined) output.line(`${indent}next: ${hint}`);
  }
  const count = (wanted: string): number =>
    findings.filter(({ severity }) => severity === wanted).length;
  output.line(`\n${count('ok')} good, ${count('warning')} to know, ${count('error')} to repair`);
}
