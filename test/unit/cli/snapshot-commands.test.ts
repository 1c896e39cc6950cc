import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { EventBody } from '../../../src/api/types.js';
import { FakeAgent } from '../../support/fake-agent.js';
import { type CliOptions, type CliResult, runCli } from '../../support/run-cli.js';
import { snapshotBody } from './fixtures.js';

describe('aurochs snapshot', () => {
  let agent: FakeAgent;
  beforeEach(async () => {
    agent = await FakeAgent.start();
  });
  afterEach(() => agent.stop());

  const run = (line: string, options?: CliOptions): Promise<CliResult> =>
    runCli([...line.split(' '), '--api-socket', agent.socketPath], options);

  it('creates one with a name or without', async () => {
    agent.on('POST /v1/volumes/db/snapshots', { status: 201, body: snapshotBody() });
    const { stdout } = await run('snapshot create db mon');
    assert.equal(stdout, 'created snapshot mon of volume db\n');
    await run('snapshot create db');
    assert.deepEqual(
      agent.seen.map(({ body }) => body),
      [{ name: 'mon' }, {}],
    );
  });

  it('lists them with the names of their parents', async () => {
    const first = snapshotBody({ headParent: false });
    const second = snapshotBody({ id: 'b', name: 'tue', parent: first.id });
    const third = snapshotBody({ id: 'c', name: 'wed', removing: true, mergeShare: 0.426 });
    agent.on('GET /v1/volumes/db/snapshots', { body: { items: [first, second, third] } });
    const lines = (await run('snapshot ls db')).stdout.split('\n');
    assert.match(lines[1] ?? '', /^mon +- +10GiB +4KiB .* -$/);
    assert.match(lines[2] ?? '', /^tue +mon .* head$/);
    assert.match(lines[3] ?? '', /^wed .* removing 42%$/);
  });

  it('goes back to one', async () => {
    agent.on('POST /v1/volumes/db/snapshots/mon/revert', { status: 200, body: {} });
    assert.equal((await run('snapshot revert db mon')).stdout, 'reverted volume db to mon\n');
  });

  describe('diff', () => {
    const page = (offset: string, next: string | null): object => ({
      from: 'a',
      to: null,
      runs: [
        { offsetBytes: offset, lengthBytes: '4096', state: 'data' },
        { offsetBytes: String(BigInt(offset) + 8192n), lengthBytes: '1048576', state: 'hole' },
      ],
      nextOffsetBytes: next,
    });
    beforeEach(() => {
      agent.on('GET /v1/volumes/db/diff?from=mon&to=&offset=0', { body: page('0', '67108864') });
      agent.on('GET /v1/volumes/db/diff?from=mon&to=&offset=67108864', {
        body: page('67108864', null),
      });
    });

    it('prints the runs of all pages', async () => {
      const lines = (await run('snapshot diff db --from mon')).stdout.trimEnd().split('\n');
      assert.equal(lines.length, 5);
      assert.match(lines[0] ?? '', /^ +OFFSET +LENGTH +SIZE +STATE$/);
      assert.match(lines[4] ?? '', /^ +67117056 +1048576 +1MiB +hole$/);
    });

    it('prints one JSON array over all pages', async () => {
      const { stdout } = await run('snapshot diff db --from mon -o json');
      const runs = JSON.parse(stdout) as { offsetBytes: string }[];
      assert.deepEqual(
        runs.map(({ offsetBytes }) => offsetBytes),
        ['0', '8192', '67108864', '67117056'],
      );
    });

    it('sums up', async () => {
      const { stdout } = await run('snapshot diff db --from mon --summary -o json');
      const expected = { runs: 4, dataBytes: '8192', holeBytes: '2097152' };
      assert.deepEqual(JSON.parse(stdout), expected);
    });

    it('prints nothing but the error when there is no such snapshot', async () => {
      const { code, stdout } = await run('snapshot diff db --from never');
      assert.deepEqual([code, stdout], [4, '']);
    });

    it('says so when nothing differs', async () => {
      const body = { from: null, to: null, runs: [], nextOffsetBytes: null };
      agent.on('GET /v1/volumes/db/diff?from=&to=&offset=0', { body });
      assert.equal((await run('snapshot diff db -o json')).stdout, '[]\n');
      assert.equal((await run('snapshot diff db')).stdout, 'No difference.\n');
    });
  });

  describe('rm', () => {
    /** The event stream is open before the deletion is asked for, else its end would be missed. */
    const deleteThenSend = (events: readonly EventBody[], end = false): void => {
      let stream: ServerResponse | null = null;
      agent.on('GET /v1/volumes/db/snapshots/mon', { body: snapshotBody() });
      agent.on('GET /v1/events', (_request: IncomingMessage, response: ServerResponse) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(': hello\n\n');
        stream = response;
      });
      agent.on(`DELETE /v1/volumes/db/snapshots/${snapshotBody().id}`, (_request, response) => {
        assert.ok(stream, 'nobody listens yet');
        response.writeHead(202).end();
        for (const event of events) {
          stream.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
        }
        if (end) stream.end();
      });
    };
    const of = { volume: 'db', snapshot: snapshotBody().id };

    it('leaves the merge to the agent when nobody watches', async () => {
      agent.on('DELETE /v1/volumes/db/snapshots/mon', { status: 202 });
      const { code, stdout } = await run('snapshot rm db mon');
      assert.equal(code, 0);
      assert.match(stdout, /^deleting in the background: snapshot mon/);
    });

    it('waits for the end of this merge and shows its progress in lines', async () => {
      deleteThenSend([
        { type: 'mergeDone', volume: 'other', snapshot: 'x', error: null },
        { type: 'mergeProgress', ...of, share: 0.25 },
        { type: 'mergeProgress', ...of, share: 0.26 },
        { type: 'mergeDone', ...of, error: null },
      ]);
      const { code, stdout, stderr } = await run('snapshot rm db mon --wait');
      assert.equal(code, 0);
      assert.equal(stdout, 'deleted snapshot mon of volume db\n');
      assert.equal(stderr, 'merging mon: 25%\nmerging mon: 100%\n');
    });

    it('draws a bar on a terminal without being told to wait', async () => {
      deleteThenSend([{ type: 'mergeDone', ...of, error: null }]);
      const { code, stderr } = await run('snapshot rm db mon', { typed: 'yes\n' });
      assert.equal(code, 0);
      assert.match(stderr, /merging mon \[/);
    });

    it('fails when the merge does', async () => {
      deleteThenSend([{ type: 'mergeDone', ...of, error: 'no space left' }]);
      const { code, stderr } = await run('snapshot rm db mon --wait');
      assert.equal(code, 18);
      assert.match(stderr, /merge of snapshot mon failed: no space left/);
    });

    it('says that the merge goes on later when the agent stops', async () => {
      deleteThenSend([{ type: 'mergeProgress', ...of, share: 0.5 }], true);
      const { code, stderr } = await run('snapshot rm db mon --wait');
      assert.equal(code, 12);
      assert.match(stderr, /next: The merge goes on when the agent runs again/);
    });
  });
});
