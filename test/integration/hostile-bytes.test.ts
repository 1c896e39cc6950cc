import assert from 'node:assert/strict';
import { type Socket, connect } from 'node:net';

import type { VolumeBody } from '../../src/api/types.js';
import { AgentProcess, exportOf, uriOf } from '../support/agent-process.js';
import { RunningProgram, run } from '../support/programs.js';
import { Random } from '../support/random.js';
import { Scratch } from '../support/scratch.js';

const CONNECTIONS = 40;
const GARBAGE_BYTES_MAX = 64 * 1024;
/** A connection that says nothing sensible must be gone by then; logging in may take 15 s. */
const CLOSED_MS_MAX = 25_000;
const GROWTH_BYTES_MAX = 128 * 1024 * 1024;
const LOAD_S = 8;

/** Sends bytes, ends its side, and resolves with the answer once the server has ended its own. */
async function throwAt(open: () => Socket, ...pieces: Buffer[]): Promise<Buffer> {
  const socket = open();
  const answer: Buffer[] = [];
  let tooLate = false;
  const timer = setTimeout(() => {
    tooLate = true;
    socket.destroy();
  }, CLOSED_MS_MAX);
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.on('data', (bytes: Buffer) => answer.push(bytes));
  socket.on('error', () => undefined); // A reset is as good an end as any.
  for (const piece of pieces) socket.write(piece);
  socket.end();
  await closed;
  clearTimeout(timer);
  assert.ok(!tooLate, `the connection stayed open after ${pieces[0]?.toString('hex', 0, 64)}`);
  return Buffer.concat(answer);
}

function bigEndian(...fields: [value: number | bigint, bytes: 2 | 4 | 8][]): Buffer {
  return Buffer.concat(
    fields.map(([value, bytes]) => {
      const field = Buffer.alloc(bytes);
      if (bytes === 8) field.writeBigUInt64BE(BigInt(value));
      else field.writeUIntBE(Number(value), 0, bytes);
      return field;
    }),
  );
}

describe('hostile bytes', function () {
  this.timeout(180_000);

  const scratch = new Scratch();
  const agent = new AgentProcess(scratch);
  const random = Random.fromEnvironment();
  let volume: VolumeBody;
  let residentBytes: number;
  let pid: number;
  let client: RunningProgram;

  before(async () => {
    console.log(`      seed ${random.seed}`);
    await agent.start();
    volume = await agent.volume('db', '64MiB');
    pid = agent.pid;
  });
  after(async () => {
    await agent.kill();
    scratch.remove();
  });

  /** Somebody works all the while and must not notice. */
  beforeEach(() => {
    residentBytes = agent.residentBytes();
    const engine = ['--ioengine=nbd', `--uri=${uriOf(volume, 'nbd')}`, '--iodepth=4', '--bs=4k'];
    const check = ['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--size=32M'];
    const time = [
      '--time_based',
      `--runtime=${LOAD_S}`,
      '--rate_iops=1000',
      '--rw=randwrite',
      '--verify_backlog=64',
    ];
    client = new RunningProgram('fio', ['--name=client', ...engine, ...check, ...time]);
  });
  afterEach(async () => {
    await client.succeeded();
    assert.equal(agent.pid, pid);
    assert.equal((await agent.api.health()).state, 'ready');
    await run('iscsi-inq', uriOf(volume, 'iscsi'));
    const growth = agent.residentBytes() - residentBytes;
    assert.ok(growth < GROWTH_BYTES_MAX, `memory grew by ${growth} bytes`);
  });

  const garbage = (): Buffer => random.bytes(1 + random.below(GARBAGE_BYTES_MAX));
  const many = async (attack: () => Promise<unknown>): Promise<void> => {
    await Promise.all(Array.from({ length: CONNECTIONS }, attack));
  };

  it('on the iSCSI port end their own connection only', async () => {
    const [host = '', port] = exportOf(volume, 'iscsi').address.split(':');
    const open = (): Socket => connect({ host, port: Number(port), allowHalfOpen: true });
    const login = (length: number): Buffer => {
      const header = Buffer.alloc(48);
      header.writeUInt8(0x43, 0); // Login Request, immediate.
      header.writeUInt8(0x87, 1); // Transit, operational negotiation to full feature phase.
      header.writeUIntBE(length, 5, 3);
      return header;
    };
    await many(() => throwAt(open, garbage()));
    await many(() => throwAt(open, login(0xffffff), garbage()));
    await many(() => throwAt(open, login(512), random.bytes(512)));
    await many(() => throwAt(open, login(512).subarray(0, 1 + random.below(47))));
  });

  it('on the NBD socket end their own connection only', async () => {
    const open = (): Socket => connect({ path: agent.nbdSocket, allowHalfOpen: true });
    const flags = bigEndian([3, 4]);
    const option = (code: number, length: number): Buffer =>
      bigEndian([0x49484156454f5054n, 8], [code, 4], [length, 4]);
    const go = Buffer.concat([
      option(7, 8),
      bigEndian([2, 4]),
      Buffer.from('db'),
      bigEndian([0, 2]),
    ]);
    await many(() => throwAt(open, garbage()));
    await many(() => throwAt(open, flags, garbage()));
    await many(() => throwAt(open, flags, option(7, 0xffffffff), garbage()));
    await many(() => throwAt(open, flags, option(random.below(20), 64), random.bytes(64)));
    await many(() => throwAt(open, flags, go, garbage()));
    const write = bigEndian([0x25609513, 4], [0, 2], [1, 2], [1, 8], [0, 8], [0xffffffff, 4]);
    await many(() => throwAt(open, flags, go, write, garbage()));
  });

  it('on the API socket are answered with an error or closed', async () => {
    const open = (): Socket => connect({ path: agent.apiSocket, allowHalfOpen: true });
    const post = (body: string, length = Buffer.byteLength(body)): Buffer =>
      Buffer.from(
        `POST /v1/volumes HTTP/1.1\r\nhost: a\r\nconnection: close\r\n` +
          `content-type: application/json\r\ncontent-length: ${length}\r\n\r\n${body}`,
      );
    await many(() => throwAt(open, garbage()));
    for (const [request, status] of [
      [Buffer.from('GET /v1/nonsense HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'), 404],
      [Buffer.from('GET /v1/volumes/%zz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'), 400],
      [post('{"name":'), 400],
      [post('{"name":"x","size":1}'), 400],
      [post('{"name":"x","size":"1GiB","surprise":true}'), 400],
      [post(`{"name":"${'x'.repeat(100_000)}","size":"1GiB"}`), 413],
      [post('[]'), 400],
    ] as const) {
      const answer = (await throwAt(open, request)).toString();
      assert.match(
        answer,
        new RegExp(`^HTTP/1.1 ${status} `),
        `${request.toString().slice(0, 200)}`,
      );
      assert.match(answer, /\{"error":\{"code":"[A-Z_]+","message":"/);
    }
    await throwAt(open, Buffer.from(`GET / HTTP/1.1\r\nx: ${'y'.repeat(1024 * 1024)}\r\n\r\n`));
    assert.deepEqual(
      (await agent.api.volumes()).map(({ name }) => name),
      ['db'],
    );
  });
});
