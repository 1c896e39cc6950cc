/** The servers under measurement, each with a volume that is written all over. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../support/repository.js';
import { disturb } from './hostile-clients.js';
import { type Server, startServer } from './processes.js';
import { type Field } from './workloads.js';

const VOLUME_BYTES = 1024 ** 3;
const TGT_PORTAL = { host: '127.0.0.1', port: 13261 };
const OUR_PORTAL = { host: '127.0.0.1', port: 13260 };
const TGT_CONTROL_PORT = '77';

export interface Subject {
  name: string;
  server: Server;
  /** One client runs on each. */
  uris: string[];
  /** What goes on besides, until the returned function is called. */
  besides?: () => () => void;
}

/** For each field ours first and the peer last. */
export type Subjects = Record<Field, Subject[]>;

function tgtadm(...args: string[]): void {
  execFileSync('tgtadm', ['-C', TGT_CONTROL_PORT, '--lld', 'iscsi', ...args]);
}

async function startTgt(file: string): Promise<Server> {
  const portal = `portal=${TGT_PORTAL.host}:${TGT_PORTAL.port}`;
  mkdirSync('/run/tgtd', { recursive: true });
  const args = ['-f', '-C', TGT_CONTROL_PORT, '--iscsi', portal];
  // It does not end at SIGTERM while it has targets.
  const server = await startServer('tgt', 'tgtd', args, TGT_PORTAL, 'SIGKILL');
  tgtadm('--mode', 'target', '--op', 'new', '--tid', '1', '-T', 'iqn.2026-11.peer:v');
  const unit = ['--mode', 'logicalunit', '--op', 'new', '--tid', '1', '--lun', '1'];
  tgtadm(...unit, '-b', file);
  tgtadm('--mode', 'target', '--op', 'bind', '--tid', '1', '-I', 'ALL');
  return server;
}

/** Starts all below `scratch`; what has started is in `started` also when a later one fails. */
export async function startSubjects(scratch: string, started: Server[]): Promise<Subjects> {
  const source = join(scratch, 'source.img');
  const tgtFile = join(scratch, 'tgt.img');
  const nbdkitFile = join(scratch, 'nbdkit.img');
  const ourSocket = join(scratch, 'nbd.sock');
  const peerSocket = join(scratch, 'nbdkit.sock');
  execFileSync('dd', ['if=/dev/urandom', `of=${source}`, 'bs=1M', 'count=1024', 'status=none']);
  for (const file of [tgtFile, nbdkitFile]) execFileSync('cp', [source, file]);
  const disk = join(scratch, 'disk');
  mkdirSync(disk);

  const portal = `${OUR_PORTAL.host}:${OUR_PORTAL.port}`;
  const program = join(root, 'dist/test/bench/server.js');
  const args = [program, disk, portal, ourSocket, `${VOLUME_BYTES}`];
  const ours = await startServer('aurochs', process.execPath, args, OUR_PORTAL);
  started.push(ours);
  const nbdkitArgs = ['-f', '-U', peerSocket, 'file', nbdkitFile];
  const nbdkit = await startServer('nbdkit', 'nbdkit', nbdkitArgs, { path: peerSocket });
  started.push(nbdkit);
  const tgt = await startTgt(tgtFile);
  started.push(tgt);

  const ourIscsi = (name: string) => `iscsi://${portal}/iqn.2026-11.io.aurochs:${name}/1`;
  const ourNbd = (name: string) => `nbd+unix:///${name}?socket=${ourSocket}`;
  for (const name of ['file', 'second']) {
    const convert = ['convert', '-n', '-f', 'raw', '-O', 'raw', source, ourNbd(name)];
    execFileSync('qemu-img', convert);
  }
  const tgtUri = `iscsi://${TGT_PORTAL.host}:${TGT_PORTAL.port}/iqn.2026-11.peer:v/1`;
  const peerUri = `nbd+unix:///?socket=${peerSocket}`;
  return {
    iscsi: [
      { name: 'aurochs', server: ours, uris: [ourIscsi('file')] },
      { name: 'null device', server: ours, uris: [ourIscsi('null')] },
      { name: 'tgt', server: tgt, uris: [tgtUri] },
    ],
    nbd: [
      { name: 'aurochs', server: ours, uris: [ourNbd('file')] },
      { name: 'null device', server: ours, uris: [ourNbd('null')] },
      { name: 'nbdkit, file', server: nbdkit, uris: [peerUri] },
    ],
    volumes: [
      { name: 'two volumes, two loops', server: ours, uris: ['file', 'second'].map(ourIscsi) },
      { name: 'one volume', server: ours, uris: [ourIscsi('file')] },
    ],
    chain: [
      { name: '1,000 snapshots', server: ours, uris: [ourNbd('chain')] },
      { name: 'one snapshot', server: ours, uris: [ourNbd('single')] },
    ],
    hostile: [
      {
        name: 'among hostile clients',
        server: ours,
        uris: [ourIscsi('file')],
        besides: () => disturb(OUR_PORTAL, { path: ourSocket }, 'second'),
      },
      { name: 'alone', server: ours, uris: [ourIscsi('file')] },
    ],
  };
}
