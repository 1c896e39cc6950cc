/** Waiting for the kernel. sysfs sends no inotify events for what the kernel creates, so it is looked at. */
import { setTimeout as delay } from 'node:timers/promises';

const POLL_INTERVAL_MS = 50;

/** The first answer that is not null; null when there was none by the deadline. */
export async function pollUntil<T>(
  deadlineMs: number,
  probe: () => Promise<T | null>,
): Promise<T | null> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const answer = await probe();
    if (answer !== null || performance.now() >= end) return answer;
    await delay(POLL_INTERVAL_MS);
  }
}

/** As pollUntil, for a condition. */
export async function pollUntilTrue(
  deadlineMs: number,
  probe: () => Promise<boolean>,
): Promise<boolean> {
  return (await pollUntil(deadlineMs, async () => ((await probe()) ? true : null))) ?? false;
}
