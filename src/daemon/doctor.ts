/** The machine's findings with everything they need: for the agent's API, and for the CLI without an agent. */
import { loadBinding } from '../native/binding.js';
import { SystemCommandRunner } from '../node/command.js';
import { type Finding, examine } from '../node/doctor.js';
import { LocalMachine } from '../node/machine.js';

export function examineMachine(dataDirectory: string): Promise<Finding[]> {
  return examine(new LocalMachine(), new SystemCommandRunner(), {
    dataDirectory,
    ioUringProblem: () => loadBinding().ioUringProblem(),
    ioFlusherProblem: () => loadBinding().ioFlusherProblem(),
  });
}
