/** Runs the public iSCSI and SCSI conformance suite (`iscsi-test-cu` of libiscsi-bin) and reads its report. */
import { RunningProgram } from './programs.js';

/** The whole suite takes 75 s, most of it waiting; a slow machine may take longer. */
const SUITE_TIMEOUT_MS = 300_000;

export interface SuiteTest {
  /** "Unmap.Simple" */
  name: string;
  failed: boolean;
  /** What the suite says about checks that it left out. */
  skips: string[];
  /** Failed assertions. */
  failures: string[];
}

export interface SuiteReport {
  tests: SuiteTest[];
  /** From the suite's own summary. */
  ran: number;
  passed: number;
  failed: number;
}

/** Reads what CUnit prints; throws if it does not add up, so that no test is lost on the way. */
export function parseReport(output: string): SuiteReport {
  const tests: SuiteTest[] = [];
  let suite = '';
  for (const line of output.split('\n')) {
    const heading = /^Suite: (.+)$/.exec(line);
    if (heading) suite = heading[1] ?? '';
    const begin = /^ {2}Test: (\S+) \.\.\.(.*)$/.exec(line);
    if (begin) {
      tests.push({ name: `${suite}.${begin[1]}`, failed: false, skips: [], failures: [] });
    }
    const test = tests.at(-1);
    if (test === undefined) continue;
    // A verdict follows the heading, or what the test has printed; the next line may follow it.
    if (/^FAILED/.test(begin?.[2] ?? line)) test.failed = true;
    const skip = /\[SKIPPED\] (.+)$/.exec(line);
    if (skip) test.skips.push(skip[1] ?? '');
    const failure = /^ +\d+\. (test_\S+\.c:\d+ .*)$/.exec(line);
    if (failure) test.failures.push(failure[1] ?? '');
  }
  const summary = /^ +tests +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)$/m.exec(output);
  if (summary === null) throw new Error(`no summary after "${output.slice(-300)}"`);
  const [total, ran, passed, failed] = summary.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
  ];
  const read = tests.filter((test) => test.failed).length;
  if (ran === 0 || ran !== total || tests.length !== ran || read !== failed) {
    throw new Error(
      `the suite counts ${failed} failed of ${ran} run of ${total}; read were ${read} of ${tests.length}`,
    );
  }
  return { tests, ran, passed, failed };
}

/** Runs the tests named by `pattern` ("ALL": each test once), destructive ones included. */
export async function runSuite(pattern: string, urls: readonly string[]): Promise<SuiteReport> {
  const args = ['-d', '-S', '-t', pattern, ...urls];
  // Its exit code says no more than its summary, and not whether it came to one.
  const { stdout, stderr } = await new RunningProgram('iscsi-test-cu', args, SUITE_TIMEOUT_MS)
    .result;
  try {
    return parseReport(stdout);
  } catch (error) {
    throw new Error(`iscsi-test-cu ${args.join(' ')}\n${stderr}`, { cause: error });
  }
}
