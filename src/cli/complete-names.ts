/** Answers the shell: words that fit, and names that the agent knows. Silent when it cannot. */
import { ApiClient } from '../api/client.js';
import { findApiSocket } from './api-socket.js';
import { complete, type Offer } from './complete.js';
import type { Terminal } from './terminal.js';

/** Nobody waits longer after a TAB. */
const ANSWER_TIMEOUT_MS = 1_000;

export async function printCompletions(
  words: readonly string[],
  terminal: Terminal,
): Promise<void> {
  const current = words.at(-1) ?? '';
  const socketAt = words.indexOf('--api-socket');
  const said = socketAt < 0 ? undefined : words[socketAt + 1];
  const socketPath = findApiSocket(said, terminal.env);
  const api = new ApiClient({ socketPath, answerTimeoutMs: ANSWER_TIMEOUT_MS });
  try {
    for (const word of await wordsOf(complete(words), api)) {
      if (word.startsWith(current)) terminal.stdout.write(`${word}\n`);
    }
  } catch {
    // Without an agent there are no names to offer, and a message would spoil the command line.
  } finally {
    await api.close();
  }
}

async function wordsOf(offer: Offer, api: ApiClient): Promise<string[]> {
  if ('words' in offer) return offer.words;
  switch (offer.kind) {
    case 'volume':
      return (await api.volumes()).map(({ name }) => name);
    case 'snapshot':
      return (await api.snapshots(offer.volume)).map(({ name }) => name);
    case 'group':
      return (await api.snapshotGroups()).map(({ name }) => name);
    case 'disk':
      return (await api.disks()).map(({ id }) => id);
    case 'node':
      return (await api.nodes()).map(({ name }) => name);
  }
}
