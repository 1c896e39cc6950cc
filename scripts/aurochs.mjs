#!/usr/bin/env node
// What `npx aurochs` runs in a checkout. It is in the repository, so that it is there, and may be executed, before and
// after the program behind it is compiled.
import { existsSync } from 'node:fs';

const program = new URL('../dist/src/cli/index.js', import.meta.url);
if (existsSync(program)) {
  await import(program.href);
} else {
  console.error('error: aurochs is not compiled yet\nnext: npm start, or npm run build');
  process.exitCode = 1;
}
