import { strict as assert } from 'node:assert';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasCode } from '../../../src/core/errors.js';
import { newId } from '../../../src/core/ids.js';
import { silentLogger } from '../../../src/core/logger.js';
import { LocalDiskDirectories } from '../../../src/daemon/disk-directories.js';
import { Lifecycle } from '../../../src/daemon/lifecycle.js';
import { removeStaleSocket, shareSocket } from '../../../src/daemon/sockets.js';
import { DirectoryLock } from '../../../src/store/directory-lock.js';

const moduleUrl = (path: string): string => new URL(`../../../src/${path}`, import.meta.url).href;

describe('parts of the agent', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'aurochs-daemon-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  describe('the lock of a data directory', () => {
    it('is held by one, and taken again after it is released', () => {
      const lock = DirectoryLock.take(directory);
      assert.throws(
        () => DirectoryLock.take(directory),
        (error) => hasCode(error, 'BUSY') && String(error).includes(`(process ${process.pid})`),
      );
      lock.release();
      DirectoryLock.take(directory).release();
    });

    it('ends with the process that holds it, also by SIGKILL', async () => {
      const script = `
        const { DirectoryLock } = await import(${JSON.stringify(moduleUrl('store/directory-lock.js'))});
        globalThis.lock = DirectoryLock.take(${JSON.stringify(directory)});
        console.log('locked');
        setInterval(() => {}, 1000);`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data');
      assert.throws(
        () => DirectoryLock.take(directory),
        (error) =>
          hasCode(error, 'BUSY') &&
          String(error).includes(directory) &&
          String(error).includes(`(process ${child.pid})`),
      );
      child.kill('SIGKILL');
      await once(child, 'exit');
      DirectoryLock.take(directory).release();
    });
  });

  describe('the directory of a disk', () => {
    const disks = new LocalDiskDirectories();

    it('carries the id that was written', async () => {
      const id = newId();
      assert.equal(await disks.readIdentity(directory), null);
      await disks.writeIdentity(directory, id);
      assert.equal(await disks.readIdentity(directory), id);
      await disks.removeIdentity(directory);
      assert.equal(await disks.readIdentity(directory), null);
    });

    it('lists directories of replicas and nothing else', async () => {
      assert.deepEqual(await disks.listReplicas(directory), []);
      await disks.writeIdentity(directory, newId());
      mkdirSync(join(directory, 'replicas/db-12345678'));
      writeFileSync(join(directory, 'replicas/file'), '');
      assert.deepEqual(await disks.listReplicas(directory), ['db-12345678']);
      await disks.syncReplicas(directory);
      const missing = disks.syncReplicas(join(directory, 'elsewhere'));
      await assert.rejects(missing, (error) => hasCode(error, 'NOT_FOUND'));
    });

    it('with a damaged id is refused and not taken for a new one', async () => {
      writeFileSync(join(directory, 'aurochs-disk.json'), '{"id": 7');
      await assert.rejects(disks.readIdentity(directory), (error) => hasCode(error, 'CORRUPTION'));
    });

    it('that cannot be written to is named', async () => {
      writeFileSync(join(directory, 'file'), '');
      await assert.rejects(
        disks.writeIdentity(join(directory, 'file'), newId()),
        (error) => hasCode(error, 'INVALID_ARGUMENT') && String(error).includes('file'),
      );
    });
  });

  describe('a socket path', () => {
    it('is cleared of a socket that nobody serves', async () => {
      const path = join(directory, 'stale.sock');
      const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
      assert.equal(spawnSync(process.execPath, ['-e', script]).signal, 'SIGKILL');
      await removeStaleSocket(path, '--api-socket');
      const server = createServer().listen(path);
      await once(server, 'listening');
      server.close();
    });

    it('is left alone while somebody serves it', async () => {
      const path = join(directory, 'live.sock');
      const server = createServer().listen(path);
      await once(server, 'listening');
      await assert.rejects(
        removeStaleSocket(path, '--api-socket'),
        (error) => hasCode(error, 'BUSY') && String(error).includes(path),
      );
      server.close();
    });

    it('is left alone when it is a file', async () => {
      const path = join(directory, 'file');
      writeFileSync(path, 'data');
      await assert.rejects(removeStaleSocket(path, '--api-socket'), (error) =>
        hasCode(error, 'ALREADY_EXISTS'),
      );
    });
  });

  describe('a socket to be shared', () => {
    const shared = async (
      group: string,
    ): Promise<{ mode: number; gid: number; errors: string[] }> => {
      const path = join(directory, 'api.sock');
      writeFileSync(path, '', { mode: 0o600 });
      const errors: string[] = [];
      await shareSocket(path, group, { ...silentLogger, error: (message) => errors.push(message) });
      const { mode, gid } = statSync(path);
      return { mode: mode & 0o777, gid, errors };
    };

    it('may be used by the group as by its owner', async () => {
      const gid = process.getgid?.() ?? 0; // The one that every user may give a file to.
      assert.deepEqual(await shared(String(gid)), { mode: 0o660, gid, errors: [] });
    });

    it('stays its owner’s alone when there is no such group, which is logged', async () => {
      const { mode, errors } = await shared('no-such-group');
      assert.equal(mode, 0o600);
      assert.equal(errors.length, 1);
    });
  });

  describe('a lifecycle', () => {
    it('stops in reverse order, also past a part that fails', async () => {
      const stopped: string[] = [];
      const lifecycle = new Lifecycle(silentLogger);
      for (const part of ['a', 'b', 'c']) {
        lifecycle.started(part, () => {
          stopped.push(part);
          if (part === 'b') throw new Error('b does not stop');
        });
      }
      await lifecycle.stopAll();
      await lifecycle.stopAll();
      assert.deepEqual(stopped, ['c', 'b', 'a']);
    });
  });

  describe('a log line', () => {
    function logged(format: string, code: string): string {
      const script = `
        const { createLogger } = await import(${JSON.stringify(moduleUrl('daemon/winston-logger.js'))});
        const log = createLogger(${JSON.stringify(format)}, 'info');
        ${code}`;
      return spawnSync(process.execPath, ['--input-type=module', '-e', script]).stderr.toString();
    }

    it('is one line of text, whatever is in it', () => {
      const text = logged(
        'text',
        `log.child({ volume: 'db' }).warn('a\\nb', { why: 'c d\\n"e"' })`,
      );
      assert.match(text, /^\S+Z warn {2}a\\nb volume=db why="c d\\n\\"e\\""\n$/);
    });

    it('is JSON for programs', () => {
      const line: unknown = JSON.parse(logged('json', `log.info('m', { message: 'x', n: 1 })`));
      const { time, ...rest } = line as Record<string, unknown>;
      assert.match(String(time), /^\d{4}-.*Z$/);
      assert.deepEqual(rest, { level: 'info', message: 'm', n: 1 });
    });

    it('below the level is not written', () => {
      assert.equal(logged('text', `log.debug('x')`), '');
    });
  });
});
