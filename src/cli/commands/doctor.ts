import type { ApiClient } from '../../api/client.js';
import type { DoctorFinding } from '../../api/types.js';
import { AurochsError } from '../../core/errors.js';
import { examineMachine } from '../../daemon/doctor.js';
import { command } from '../command.js';
import type { Output } from '../output.js';
import { defaultDataDirectory } from '../paths.js';

export const doctor = command({
  usage: 'doctor',
  describe: 'Say what on this machine stands in the way, and what to do about it',
  examples: [
    ['$0 doctor', 'asks the agent; looks itself when none runs'],
    ['$0 doctor --data-dir /srv/aurochs', 'before the agent runs there for the first time'],
    ['$0 doctor -o json', 'all findings, also the good ones'],
  ],
  positionals: {},
  options: {
    'data-dir': {
      type: 'string',
      requiresArg: true,
      describe: 'Data directory to look at when no agent runs',
    },
  },
  run: async ({ args, api, output, terminal }) => {
    const dataDirectory = args.dataDir ?? defaultDataDirectory(terminal.env);
    const findings = await gather(api, dataDirectory);
    if (output.format === 'json') output.json(findings);
    else printFindings(findings, output);
    const errors = findings.filter(({ severity }) => severity === 'error').length;
    if (errors === 0) return;
    const message = errors === 1 ? 'one check failed' : `${errors} checks failed`;
    throw new AurochsError('FAILED_PRECONDITION', message, 'Do what stands beside "next:" above.');
  },
});

/** The agent sees what it works with; its limits and its file systems may differ from this shell's. */
async function gather(api: ApiClient, dataDirectory: string): Promise<DoctorFinding[]> {
  const check = 'agent';
  try {
    const { version, state, ioBackend } = await api.health();
    const message = `agent ${version} at ${api.socketPath} is ${state} and uses ${ioBackend}`;
    return [{ check, severity: 'ok', message }, ...(await api.doctor())];
  } catch (error) {
    if (!(error instanceof AurochsError)) throw error;
    const finding: DoctorFinding = {
      check,
      severity: 'warning',
      message: error.message,
      meaning: 'No volume is served. The checks below were made by this command itself.',
      hint: error.hint ?? 'Start one with: aurochs agent',
    };
    return [finding, ...(await examineMachine(dataDirectory))];
  }
}

const SIGNS = { ok: 'ok  ', warning: 'warn', error: 'FAIL' } as const;

function printFindings(findings: readonly DoctorFinding[], output: Output): void {
  for (const { severity, message, meaning, hint } of findings) {
    output.line(`${SIGNS[severity]}  ${message}`);
    if (meaning !== undefined) output.line(`      ${meaning}`);
    if (hint !== undefined) output.line(`      next: ${hint}`);
  }
  const count = (wanted: string): number =>
    findings.filter(({ severity }) => severity === wanted).length;
  output.line(`\n${count('ok')} good, ${count('warning')} to know, ${count('error')} to repair`);
}
