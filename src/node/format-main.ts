/** The process of format-task.ts: its argument is the task, what it prints is an error. */
import { SystemCommandRunner } from './command.js';
import { type FormatTask, performTask, printedError } from './format-task.js';
import { Host } from './host-namespaces.js';

const task = JSON.parse(process.argv[2] ?? '') as FormatTask;
try {
  await performTask(new Host(new SystemCommandRunner(), task.view), task);
} catch (error) {
  process.stdout.write(printedError(error));
  process.exitCode = 1;
}
