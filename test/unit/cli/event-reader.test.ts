import assert from 'node:assert/strict';

import fc from 'fast-check';

import { type ServerSentEvent, readEvents } from '../../../src/api/event-reader.js';

async function eventsIn(chunks: readonly (string | Uint8Array)[]): Promise<ServerSentEvent[]> {
  async function* stream(): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) yield await Promise.resolve(Buffer.from(chunk));
  }
  const events: ServerSentEvent[] = [];
  for await (const event of readEvents(stream())) events.push(event);
  return events;
}

describe('readEvents', () => {
  it('reads names, data of several lines, and skips comments', async () => {
    const events = await eventsIn([': ping\n\nevent: a\ndata: 1\ndata:2\n\ndata: 3\nid: 9\n\n']);
    assert.deepEqual(events, [
      { event: 'a', data: '1\n2' },
      { event: 'message', data: '3' },
    ]);
  });

  it('drops an event that was cut off', async () => {
    assert.deepEqual(await eventsIn(['data: whole\n\ndata: half\n']), [
      { event: 'message', data: 'whole' },
    ]);
  });

  it('refuses an event without end', async () => {
    const line = `data: ${'x'.repeat(65_536)}\n`;
    await assert.rejects(eventsIn(Array.from({ length: 20 }, () => line)), /larger than 1 MiB/);
  });

  it('reads the same however the bytes are cut and lines are ended', async () => {
    const property = fc.asyncProperty(
      fc.constantFrom('\n', '\r\n', '\r'),
      fc.array(fc.nat(80), { maxLength: 12 }),
      async (end, cuts) => {
        const lines = ['event: größer', 'data: {"a":"€"}', '', ': ping', '', 'data: 2', '', ''];
        const bytes = Buffer.from(lines.join(end));
        const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const chunks = places.slice(1).map((place, i) => bytes.subarray(places[i], place));
        assert.deepEqual(await eventsIn(chunks), [
          { event: 'größer', data: '{"a":"€"}' },
          { event: 'message', data: '2' },
        ]);
      },
    );
    await fc.assert(property);
  });
});
