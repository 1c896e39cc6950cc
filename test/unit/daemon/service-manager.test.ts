import { strict as assert } from 'node:assert';
import { spawn, spawnSync } from 'node:child_process';
import { silentLogger } from '../../../src/core/logger.js';
import { ServiceManager, watchdogMsOf } from '../../../src/daemon/service-manager.js';
import { AgentProcess } from '../../support/agent-process.js';
import { ManualClock } from '../../support/manual-clock.js';
import { Scratch } from '../../support/scratch.js';

const WATCHDOG_MS = 30_000;
const ALIVE = ['WATCHDOG=1\nSTATUS=serving 2 volumes'];

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('what the service manager is told', () => {
  let clock: ManualClock;
  let told: string[];
  let ping: () => Promise<void>;
  let volumes: number;
  beforeEach(() => {
    clock = new ManualClock();
    told = [];
    ping = () => Promise.resolve();
    volumes = 2;
  });

  const manager = (watchdogMs: number | null = WATCHDOG_MS): ServiceManager =>
    new ServiceManager({
      notify: (state) => told.push(state) > 0,
      ping: () => ping(),
      volumesServed: () => volumes,
      watchdogMs,
      clock,
      log: silentLogger,
    });

  const pass = async (ms: number): Promise<string[]> => {
    told.length = 0;
    clock.pass(ms);
    await settle();
    return [...told];
  };

  it('is ready, and how many volumes are served', () => {
    volumes = 1;
    manager().ready();
    assert.deepEqual(told, ['READY=1\nSTATUS=serving 1 volume']);
  });

  it('is alive, at half of the time', async () => {
    manager().ready();
    assert.deepEqual(await pass(WATCHDOG_MS / 2 - 1), []);
    assert.deepEqual(await pass(1), ALIVE);
    assert.deepEqual(await pass(WATCHDOG_MS / 2), ALIVE);
  });

  it('is nothing while a loop of the data path hangs, but why', async () => {
    let answer = (): void => {};
    ping = () => new Promise((resolve) => (answer = resolve));
    manager().ready();
    assert.deepEqual(await pass(WATCHDOG_MS / 2), []);
    assert.deepEqual(await pass(WATCHDOG_MS / 4), ['STATUS=the data path does not answer']);
    assert.deepEqual(await pass(WATCHDOG_MS * 10), []);
    answer();
    await settle();
    assert.deepEqual(told, ALIVE); // Late is better than never: it had not been restarted.
  });

  it('is nothing once the data path refuses to answer', async () => {
    ping = () => Promise.reject(new Error('closed'));
    manager().ready();
    assert.deepEqual(await pass(WATCHDOG_MS), []);
    assert.deepEqual(await pass(WATCHDOG_MS), []);
  });

  it('is stopping, and then nothing more', async () => {
    const subject = manager();
    subject.ready();
    told.length = 0;
    subject.stopping();
    assert.deepEqual(told, ['STOPPING=1\nSTATUS=closing volumes']);
    assert.deepEqual(await pass(WATCHDOG_MS), []);
  });

  it('is not kept informed when it does not ask', async () => {
    manager(null).ready();
    assert.deepEqual(await pass(WATCHDOG_MS), []);
  });

  it('may be unreachable without harm', () => {
    const subject = new ServiceManager({
      notify: () => {
        throw new Error('no such file');
      },
      ping: () => ping(),
      volumesServed: () => 0,
      watchdogMs: WATCHDOG_MS,
      clock,
      log: silentLogger,
    });
    subject.ready();
    subject.stopping();
  });

  it('asks for signs of life from the process that it names', () => {
    assert.equal(watchdogMsOf({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, 7), 30_000);
    assert.equal(watchdogMsOf({ WATCHDOG_USEC: '30000000' }, 7), 30_000);
    assert.equal(watchdogMsOf({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, 7), null);
    assert.equal(watchdogMsOf({ WATCHDOG_USEC: '0' }, 7), null);
    assert.equal(watchdogMsOf({ WATCHDOG_USEC: 'soon' }, 7), null);
    assert.equal(watchdogMsOf({}, 7), null);
  });
});

/** Prints what arrives at the socket, as a service manager would hear it. */
const RECEIVER = `
import socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
print("listening", flush=True)
while True:
    print(receiver.recv(4096).decode().replace("\\n", " "), flush=True)`;

describe('an agent under a service manager', function () {
  this.timeout(30_000);
  let scratch: Scratch;
  before(function () {
    if (spawnSync('python3', ['--version']).status !== 0) this.skip();
  });
  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.remove());

  it('says that it is ready, alive and stopping', async () => {
    const socket = scratch.file('notify');
    const receiver = spawn('python3', ['-c', RECEIVER, socket], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let heard = '';
    receiver.stdout.on('data', (bytes: Buffer) => (heard += bytes.toString()));
    const agent = new AgentProcess(scratch, {
      env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '200000' },
    });
    try {
      while (!heard.includes('listening')) await settle();
      await agent.start();
      await agent.volume('db', '1MiB');
      await agent.until('alive', () =>
        Promise.resolve(/WATCHDOG=1 STATUS=serving 1 volume\n/.test(heard)),
      );
      await agent.stop();
      while (!heard.includes('STOPPING')) await settle();
    } finally {
      await agent.kill();
      receiver.kill();
    }
    const words = heard.split('\n').map((line) => line.split(' ')[0]);
    assert.equal(words[1], 'READY=1', heard);
    assert.equal(words.filter((word) => word === 'STOPPING=1').length, 1, heard);
  });
});
