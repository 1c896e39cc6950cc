// Mocha's spec reporter, which also writes its totals where scripts/test.mjs reads them.
const { writeFileSync } = require('node:fs');
const { reporters } = require('mocha');

/** What tests left running (a handle, a loop that waits for ever) must end by itself in this time. */
const LEFT_RUNNING_MS = 30_000;

module.exports = class extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats;
      writeFileSync(
        process.env.AUROCHS_MOCHA_TOTALS,
        JSON.stringify({ passed: passes, failed: failures, skipped: pending }),
      );
      setTimeout(() => {
        console.error(`after the last test something went on running for ${LEFT_RUNNING_MS} ms`);
        process.exit(1);
      }, LEFT_RUNNING_MS).unref();
    });
  }
};
