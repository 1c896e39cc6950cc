/** The clients that people have, in every combination of what NBD leaves to choose. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';

import type { VolumeBody } from '../../src/api/types.js';
import { AgentProcess, CLI } from '../support/agent-process.js';
import { run } from '../support/programs.js';
import { Scratch } from '../support/scratch.js';

/** Debian's, which has libnbd; another may come first in the path. */
const PYTHON = '/usr/bin/python3';
const MIB = 1024 * 1024;
const VOLUME_BYTES = 32 * MIB;

/**
 * Writes a file through several connections of libnbd, reads it back through others of them, and
 * fails unless what was negotiated is what was asked for. nbdcopy has no switch for structured
 * replies, so this one does its work.
 */
const COPY_BOTH_WAYS = `
import nbd, sys
uri, structured, connections, image, copy = sys.argv[1:]
def connect():
    one = nbd.NBD()
    one.set_uri_allow_local_file(True)
    one.set_request_structured_replies(structured == "true")
    one.connect_uri(uri)
    assert one.get_structured_replies_negotiated() == (structured == "true")
    assert one.get_tls_negotiated() == uri.startswith("nbds:")
    assert one.can_multi_conn()
    return one
handles = [connect() for _ in range(int(connections))]
def wait(pending):
    while pending:
        for one, cookie in list(pending):
            if one.aio_command_completed(cookie): pending.remove((one, cookie))
            else: one.poll(100)
chunk = 256 * 1024
data = open(image, "rb").read()
spots = range(0, len(data), chunk)
def user(turn): return handles[turn % len(handles)]
wait([(user(i), user(i).aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data[at:at + chunk])), at))
      for i, at in enumerate(spots)])
handles[0].flush()
buffers = [(at, nbd.Buffer(min(chunk, len(data) - at))) for at in spots]
wait([(user(i + 1), user(i + 1).aio_pread(buffer, at)) for i, (at, buffer) in enumerate(buffers)])
with open(copy, "wb") as out:
    for _, buffer in buffers: out.write(buffer.to_bytearray())
for one in handles: one.shutdown()
`;

/** A certificate authority and a certificate of 127.0.0.1, as libnbd and qemu look for them. */
async function makeCertificates(directory: string): Promise<string[]> {
  const file = (name: string): string => `${directory}/${name}`;
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  mkdirSync(directory);
  await run(
    ...(['openssl', 'req', '-x509', ...key, '-days', '1', '-subj', '/CN=ca'] as const),
    ...['-keyout', file('ca-key.pem'), '-out', file('ca-cert.pem')],
  );
  await run(
    ...(['openssl', 'req', ...key, '-subj', '/CN=127.0.0.1'] as const),
    ...['-keyout', file('server-key.pem'), '-out', file('server.csr')],
  );
  writeFileSync(file('san'), 'subjectAltName=IP:127.0.0.1\n');
  await run(
    ...(['openssl', 'x509', '-req', '-days', '1', '-in', file('server.csr')] as const),
    ...['-CA', file('ca-cert.pem'), '-CAkey', file('ca-key.pem'), '-CAcreateserial'],
    ...['-extfile', file('san'), '-out', file('server-cert.pem')],
  );
  return ['--nbd-tls-cert', file('server-cert.pem'), '--nbd-tls-key', file('server-key.pem')];
}

/** HOST:PORT of its export. */
function tcpAddressOf(volume: VolumeBody): string {
  const found = volume.exports.find(
    ({ frontend, address }) => frontend === 'nbd' && address.startsWith('127.0.0.1:'),
  );
  assert.ok(found);
  return found.address;
}

for (const tls of [false, true]) {
  describe(`NBD clients ${tls ? 'with' : 'without'} TLS`, function () {
    this.timeout(120_000);

    const scratch = new Scratch();
    const certificates = scratch.file('certificates');
    const [image, copy] = [scratch.file('image'), scratch.file('copy')];
    const args = ['--nbd-listen', '127.0.0.1:0'];
    const agent = new AgentProcess(scratch, { args });
    let address: string;
    let uri: string;

    before(async () => {
      if (tls) args.push(...(await makeCertificates(certificates)));
      await agent.start();
      address = tcpAddressOf(await agent.volume('db', String(VOLUME_BYTES)));
      const parameters = tls ? `?tls-certificates=${certificates}` : '';
      uri = `${tls ? 'nbds' : 'nbd'}://${address}/db${parameters}`;
    });
    beforeEach(() => writeFileSync(image, randomBytes(VOLUME_BYTES)));
    after(async () => {
      await agent.kill();
      scratch.remove();
    });

    /** What qemu's tools take in place of a file name. */
    const qemuArgs = (): string[] => {
      const [host, port] = address.split(':') as [string, string];
      const node = `driver=raw,file.driver=nbd,file.host=${host},file.port=${port},file.export=db`;
      if (!tls) return ['--image-opts', node];
      const object = `tls-creds-x509,id=tls0,endpoint=client,dir=${certificates}`;
      return ['--object', object, '--image-opts', `${node},file.tls-creds=tls0`];
    };

    for (const connections of [1, 4]) {
      for (const structured of [true, false]) {
        const replies = structured ? 'structured' : 'simple';
        it(`libnbd: ${replies} replies, connections: ${connections}`, async () => {
          const script = ['-c', COPY_BOTH_WAYS, uri, String(structured), String(connections)];
          await run(PYTHON, ...script, image, copy);
          await run('cmp', image, copy);
        });
      }

      it(`nbdcopy: both ways, connections: ${connections}`, async () => {
        const many = [`--connections=${connections}`, '--requests=16'];
        await run('nbdcopy', '--flush', ...many, image, uri);
        await run('nbdcopy', ...many, uri, copy);
        await run('cmp', image, copy);
      });

      // qemu opens one connection, so several are several of it.
      it(`qemu-io: connections at once: ${connections}`, async () => {
        const part = VOLUME_BYTES / connections;
        const jobs = Array.from({ length: connections }, (_, i) => {
          const range = `${i * part} ${part}`;
          const commands = [`write -P ${i + 1} ${range}`, 'flush', `read -P ${i + 1} ${range}`];
          return run('qemu-io', ...commands.flatMap((c) => ['-c', c]), ...qemuArgs());
        });
        for (const output of await Promise.all(jobs)) {
          assert.doesNotMatch(output, /verification failed/);
        }
      });
    }

    it('qemu-img: what it writes, nbdcopy reads, and the other way round', async () => {
      const [kind, target] = [qemuArgs().slice(0, -1), qemuArgs().at(-1) as string];
      const objects = kind.slice(0, -1);
      await run(
        ...(['qemu-img', 'convert', ...objects, '-n', '-f', 'raw', image] as const),
        ...['--target-image-opts', target],
      );
      await run('nbdcopy', uri, copy);
      await run('cmp', image, copy);
      writeFileSync(image, randomBytes(VOLUME_BYTES));
      await run('nbdcopy', '--flush', image, uri);
      await run('qemu-img', 'convert', ...kind, target, '-O', 'raw', copy);
      await run('cmp', image, copy);
    });

    if (tls) {
      it('are refused without it, unless it is optional', async () => {
        const plain = (): Promise<string> => run('nbdinfo', '--size', `nbd://${address}/db`);
        await assert.rejects(plain(), /TLS/i);
        args.push('--nbd-tls', 'optional');
        await agent.restart();
        address = tcpAddressOf(await agent.api.volume('db'));
        assert.equal(Number(await plain()), VOLUME_BYTES);
        const parameters = `tls-certificates=${certificates}`;
        await run('nbdinfo', '--size', `nbds://${address}/db?${parameters}`);
      });
    }
  });
}

/** Asks twice about the same range; a snapshot is removed by the command line in between. */
const STATUS_BEFORE_AND_AFTER = `
import nbd, subprocess, sys
uri, context, *remove = sys.argv[1:]
h = nbd.NBD()
h.add_meta_context(context)
h.connect_uri(uri)
assert h.can_meta_context(context)
def status():
    found = []
    def extent(name, offset, entries, error):
        if name == context: found.extend(entries)
    h.block_status(1024 * 1024, 0, extent)
    return found
print(status())
subprocess.run(remove, check=True, stdout=subprocess.DEVNULL)
print(status())
`;

describe('NBD context aurochs:dirty/<snapshot>', function () {
  this.timeout(120_000);

  const scratch = new Scratch();
  const agent = new AgentProcess(scratch);
  let uri: string;

  const qemuIo = async (...commands: string[]): Promise<void> => {
    await run('qemu-io', '-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri);
  };
  /** What `nbdinfo --map` says, as "offset+length flags". */
  const mapOf = async (context: string): Promise<string[]> => {
    const entries = JSON.parse(await run('nbdinfo', `--map=${context}`, '--json', uri)) as {
      offset: number;
      length: number;
      type: number;
    }[];
    return entries.map(({ offset, length, type }) => `${offset}+${length} ${type}`);
  };

  before(async () => {
    await agent.start();
    const volume = await agent.volume('db', String(VOLUME_BYTES));
    uri = volume.exports.find(({ frontend }) => frontend === 'nbd')?.uri ?? '';
    await qemuIo(`write -P 1 0 ${8 * MIB}`);
    await agent.api.createSnapshot('db', { name: 'monday' });
    await qemuIo(`write -P 2 ${MIB} 64k`, `write -z -u ${2 * MIB} 64k`);
    await agent.api.createSnapshot('db', { name: 'tuesday' });
    await qemuIo(`write -P 3 ${16 * MIB} 4k`);
  });
  after(async () => {
    await agent.kill();
    scratch.remove();
  });

  it('tells which extents have changed since the snapshot', async () => {
    const [end, page] = [16 * MIB, 4096];
    assert.deepEqual(await mapOf('aurochs:dirty/tuesday'), [
      `0+${end} 0`,
      `${end}+${page} 1`,
      `${end + page}+${VOLUME_BYTES - end - page} 0`,
    ]);
    const [first, second, length] = [MIB, 2 * MIB, 65536];
    assert.deepEqual(await mapOf('aurochs:dirty/monday'), [
      `0+${first} 0`,
      `${first}+${length} 1`,
      `${first + length}+${second - first - length} 0`,
      `${second}+${length} 3`,
      `${second + length}+${end - second - length} 0`,
      `${end}+${page} 1`,
      `${end + page}+${VOLUME_BYTES - end - page} 0`,
    ]);
  });

  it('is offered for each snapshot that there is', async () => {
    const { exports: found } = JSON.parse(await run('nbdinfo', '--json', uri)) as {
      exports: { contexts: string[] }[];
    };
    assert.deepEqual(found[0]?.contexts, [
      'base:allocation',
      'aurochs:dirty/monday',
      'aurochs:dirty/tuesday',
    ]);
    await assert.rejects(run('nbdinfo', '--map=aurochs:dirty/sunday', uri), /sunday/);
  });

  it('says that everything may have changed once the snapshot is gone', async () => {
    const context = 'aurochs:dirty/monday';
    const remove = [process.execPath, CLI, 'snapshot', 'rm', 'db', 'monday'];
    const output = await run(
      ...([PYTHON, '-c', STATUS_BEFORE_AND_AFTER, uri, context, ...remove] as const),
      ...['--api-socket', agent.apiSocket],
    );
    assert.equal(output, `[${MIB}, 0]\n[${MIB}, 5]\n`);
    await assert.rejects(run('nbdinfo', `--map=${context}`, uri), /monday/);
  });
});
