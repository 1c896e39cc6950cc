import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';

import { attempt, run } from '../support/programs.js';
import { eventually, expectClean, iscsiDisks, startInitiators } from './support/devices.js';
import { mountDisk } from './support/guest-agent.js';
import { NetworkNode } from './support/network-node.js';

const INITIATOR = 'iqn.2001-04.com.example:guest';
const CHAP = { user: 'db', secret: 'correct horse battery' };
const TARGET = 'iqn.2026-11.io.aurochs:db';
const MOUNT_POINT = '/mnt/db';

describe('volumes of other machines', () => {
  const nodes = [new NetworkNode('a', 1), new NetworkNode('b', 2)] as const;

  before(async () => {
    await mountDisk();
    await startInitiators();
    for (const node of nodes) {
      await node.connect();
      await node.start();
    }
  });
  after(() => Promise.all(nodes.map((node) => node.kill())));

  const record = (node: NetworkNode): string[] => ['-m', 'node', '-T', TARGET, '-p', node.portal];
  const login = async (node: NetworkNode, secret: string): Promise<number | null> => {
    await run('iscsiadm', ...record(node), '-o', 'new');
    const values = { authmethod: 'CHAP', username: CHAP.user, password: secret };
    for (const [key, value] of Object.entries(values)) {
      await run(
        'iscsiadm',
        ...record(node),
        '-o',
        'update',
        '-n',
        `node.session.auth.${key}`,
        '-v',
        value,
      );
    }
    return (await attempt('iscsiadm', ...record(node), '--login')).code;
  };

  it('are not shown beyond the machine without CHAP and a list of initiators', async () => {
    const [a] = nodes;
    await a.api.createVolume({ name: 'open', size: '64MiB' });
    await assert.rejects(a.api.attachVolume('open', { frontends: ['iscsi'] }), /CHAP|initiator/);
    await a.api.deleteVolume('open');
  });

  it('are told apart by their portals, although they have the same name', async () => {
    for (const node of nodes) {
      await node.api.createVolume({
        name: 'db',
        size: '128MiB',
        chap: CHAP,
        initiators: [INITIATOR],
      });
      await node.api.attachVolume('db', { frontends: ['iscsi'] });
      const before = iscsiDisks();
      assert.equal(await login(node, CHAP.secret), 0);
      const disk = await eventually('a disk', () => iscsiDisks().find((d) => !before.includes(d)));
      await run('sh', '-c', `echo 'of node ${node.name}' | dd of=${disk} bs=512 conv=sync,fsync`);
    }
    const heads = iscsiDisks().map((disk) => run('head', '-c', '9', disk));
    assert.deepEqual((await Promise.all(heads)).sort(), ['of node a', 'of node b']);
  });

  it('refuse who does not know the secret', async () => {
    const [, b] = nodes;
    await run('iscsiadm', ...record(b), '--logout');
    assert.equal(await login(b, 'a wrong secret of twelve'), 24); // ISCSI_ERR_LOGIN_AUTH_FAILED
  });

  it('survive a cable that is pulled and put back while a file is written', async () => {
    const [a] = nodes;
    const disk = iscsiDisks()[0] ?? '';
    await run('mkfs.ext4', '-q', disk);
    mkdirSync(MOUNT_POINT, { recursive: true });
    await run('mount', disk, MOUNT_POINT);
    const content = Buffer.alloc(16 * 1024 * 1024, 'written while the cable was out ');
    writeFileSync('/tmp/content', content);
    await a.plug(false);
    const written = run('dd', 'if=/tmp/content', `of=${MOUNT_POINT}/file`, 'bs=1M', 'conv=fsync');
    await eventually('the session has noticed', () => (state() !== 'LOGGED_IN' ? true : undefined));
    await a.plug(true);
    await written;
    assert.equal(state(), 'LOGGED_IN');
    await run('umount', MOUNT_POINT);
    await expectClean(disk);
    await run('mount', disk, MOUNT_POINT);
    assert.ok(readFileSync(`${MOUNT_POINT}/file`).equals(content));
    await run('umount', MOUNT_POINT);
    await run('iscsiadm', ...record(a), '--logout');
  });
});

function state(): string {
  const sessions = '/sys/class/iscsi_session';
  const [session] = readdirSync(sessions);
  return readFileSync(`${sessions}/${session}/state`, 'utf8').trim();
}
