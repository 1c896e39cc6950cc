/** Runs the command line in this process, with a terminal made of strings. */
import { PassThrough } from 'node:stream';

import { main } from '../../src/cli/program.js';

export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

export interface CliOptions {
  env?: NodeJS.ProcessEnv;
  /** What a person at a terminal types; without it nobody is there. */
  typed?: string;
}

export async function runCli(
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  const isTTY = options.typed !== undefined;
  const stream = (): PassThrough & { isTTY: boolean } =>
    Object.assign(new PassThrough(), { isTTY });
  const [stdin, stdout, stderr] = [stream(), stream(), stream()];
  const printed = [collect(stdout), collect(stderr)];
  if (options.typed !== undefined) stdin.write(options.typed);
  const code = await main(args, { stdin, stdout, stderr, env: options.env ?? {} });
  stdout.end();
  stderr.end();
  const [out = '', err = ''] = await Promise.all(printed);
  return { code, stdout: out, stderr: err };
}

async function collect(stream: PassThrough): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}
