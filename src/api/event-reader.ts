/** Reads server-sent events (HTML standard, 9.2.6) out of a stream of bytes. */
import { AurochsError } from '../core/errors.js';

/** No event of ours is near this; an agent that sends more is not one. */
const EVENT_BYTES_MAX = 1024 * 1024;

export interface ServerSentEvent {
  /** "message" when the server did not name it. */
  event: string;
  data: string;
}

/** Ends when the stream ends; an event without its closing empty line is dropped, as the standard says. */
export async function* readEvents(
  stream: AsyncIterable<Uint8Array>,
): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of stream) {
    rest += decoder.decode(bytes, { stream: true });
    // A CR at the very end may be the first half of a CR LF: leave it for the next bytes.
    const usable = rest.endsWith('\r') ? rest.length - 1 : rest.length;
    const { events, unfinished } = split(rest.slice(0, usable));
    yield* events;
    rest = unfinished + rest.slice(usable);
    if (rest.length > EVENT_BYTES_MAX) {
      throw new AurochsError('INTERNAL', 'the agent sent an event larger than 1 MiB');
    }
  }
  yield* split(rest).events;
}

function split(text: string): { events: ServerSentEvent[]; unfinished: string } {
  const blocks = text.replace(/\r\n?/g, '\n').split('\n\n');
  const unfinished = blocks.pop() ?? '';
  return { events: blocks.map(parseEvent).filter((event) => event !== null), unfinished };
}

/** Null when the block has no data: a comment that keeps the connection alive. */
export function parseEvent(block: string): ServerSentEvent | null {
  let event = 'message';
  const data: string[] = [];
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event' && value !== '') event = value;
    else if (field === 'data') data.push(value);
  }
  return data.length === 0 ? null : { event, data: data.join('\n') };
}
