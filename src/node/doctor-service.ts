/** Check of the agent as a service of this machine. */
import { CommandError, type CommandRunner } from './command.js';
import type { Finding } from './doctor.js';
import type { Machine } from './machine.js';

const UNIT = 'aurochs-agent.service';
/** Where `npm run install:systemd` writes the name of what it installed last. */
const INSTALLED_VERSION = '/usr/local/lib/aurochs/current/version-name';
const PROPERTIES = 'LoadState,UnitFileState,ActiveState,MainPID';

export async function checkService(machine: Machine, runner: CommandRunner): Promise<Finding> {
  const check = 'service';
  if (!(await machine.exists('/run/systemd/system'))) {
    return {
      check,
      severity: 'ok',
      message: 'systemd does not run here; the agent is started by other means',
    };
  }
  let unit: Map<string, string>;
  try {
    unit = propertiesOf((await runner.run('systemctl', ['show', UNIT, '-p', PROPERTIES])).stdout);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return {
      check,
      severity: 'warning',
      message: `systemd cannot be asked about ${UNIT}: ${error.message}`,
      meaning: 'Whether the agent is started at boot is unknown.',
      hint: `systemctl status ${UNIT}`,
    };
  }
  const problem = problemOf(unit, await runsOldVersion(machine, unit.get('MainPID')));
  if (problem === null) {
    return { check, severity: 'ok', message: `${UNIT} runs and is started at boot` };
  }
  return { check, severity: 'warning', ...problem };
}

function problemOf(
  unit: ReadonlyMap<string, string>,
  isOld: boolean,
): Pick<Finding, 'message' | 'meaning' | 'hint'> | null {
  if (unit.get('LoadState') === 'not-found') {
    return {
      message: `${UNIT} is not installed`,
      meaning: 'The agent is started by hand, and not again after a crash or at boot.',
      hint: 'npm run install:systemd (as root, in the checkout)',
    };
  }
  if (unit.get('ActiveState') !== 'active') {
    return {
      message: `${UNIT} does not run (${unit.get('ActiveState') ?? 'unknown'})`,
      meaning: 'No volume is served by it.',
      hint: `systemctl start ${UNIT}; journalctl -u ${UNIT} -n 50`,
    };
  }
  if (unit.get('UnitFileState') !== 'enabled') {
    return {
      message: `${UNIT} runs and is not started at boot`,
      meaning: 'After a boot no volume is served.',
      hint: `systemctl enable ${UNIT}`,
    };
  }
  if (isOld) {
    return {
      message: `${UNIT} runs another version than the one installed`,
      meaning: 'What the installed version repairs is not in effect yet.',
      hint: `systemctl restart ${UNIT} (volumes stay attached)`,
    };
  }
  return null;
}

/** The path of the program is in its command line, and the version in that path. */
async function runsOldVersion(machine: Machine, pid: string | undefined): Promise<boolean> {
  const installed = (await machine.readText(INSTALLED_VERSION))?.trim();
  const commandLine = await machine.readText(`/proc/${pid ?? 0}/cmdline`);
  if (installed === undefined || commandLine === null) return false;
  return !commandLine.includes(`/versions/${installed}/`);
}

/** Reads what `systemctl show` prints: NAME=value lines. */
function propertiesOf(text: string): Map<string, string> {
  return new Map(
    text
      .split('\n')
      .map((line) => line.split('=', 2) as [string, string])
      .filter((pair) => pair.length === 2),
  );
}
