/**
 * Programs that the tests of the addon start.
 *
 * child.js exit|throw STEP DISK       goes through the steps with a host and ends itself at one
 * child.js worker DISK                ends a worker at every step
 * child.js latency ADDRESS EXPORT MS  is a client and prints how long its slowest request took
 * child.js flood ADDRESS EXPORT COUNT is a client that connects and leaves again and again
 */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { NbdClient } from './nbd-client.js';
import { STEPS, type Step } from './steps.js';
import { createAndOpen, createHost, descriptors, exportNbd, loops } from './support.js';

/** Goes through all steps; `at` may end it at each. What it leaves behind is an open host. */
async function walk(disk: string, at: (step: Step) => Promise<void> | void): Promise<void> {
  const host = createHost();
  await at('host created');
  const address = await host.listenNbd('127.0.0.1:0', null);
  await host.listenIscsi('127.0.0.1:0');
  await at('listening');
  const creating = createAndOpen(host, disk);
  await at('creating a replica');
  const volume = await creating;
  await volume.close();
  const opening = host.openVolume(disk, 'replica', 2n);
  await at('opening a volume');
  const reopened = await opening;
  await at('volume open');
  await exportNbd(reopened, 'x');
  await at('exported');
  const client = await NbdClient.connect(address, 'x');
  const writes = Array.from({ length: 64 }, (_, index) =>
    client.write(index * 65_536, Buffer.alloc(65_536, index)).catch(() => {}),
  );
  await writes[0];
  await at('serving');
  const snapshot = reopened.takeSnapshot('s1', 'one', 1);
  await at('snapshot under way');
  await snapshot;
  await Promise.all(writes);
  const closing = reopened.close();
  await at('closing the volume');
  await closing;
  client.destroy();
  const ending = host.close();
  await at('closing the host');
  await ending;
  await at('closed');
}

function endAs(how: string): void {
  if (how === 'exit') process.exit(7);
  if (how === 'throw') throw new Error('thrown on purpose');
}

/** Ends a worker at every step, and leaves no loop and no descriptor behind. */
async function endWorkers(disk: string): Promise<void> {
  const endOne = async (step: Step, name: string): Promise<void> => {
    const workerOptions = { workerData: { step, disk: `${disk}/${name}` } };
    const worker = new Worker(fileURLToPath(import.meta.url), workerOptions);
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await worker.terminate();
    assert.equal(loops(), 0, `after "${step}"`);
  };
  await endOne('closed', 'first'); // What the process keeps for good is there after it.
  const before = descriptors();
  for (const step of STEPS) await endOne(step, step);
  assert.equal(descriptors(), before);
  console.log(`ended workers at ${STEPS.length} steps`);
}

async function measureLatency(address: string, name: string, forMs: number): Promise<void> {
  const client = await NbdClient.connect(address, name);
  const data = Buffer.alloc(4096, 7);
  await client.write(0, data);
  console.log('started');
  let slowest = 0;
  let requests = 0;
  const end = performance.now() + forMs;
  while (performance.now() < end) {
    const start = performance.now();
    await client.write((requests % 1024) * 4096, data);
    await client.read((requests % 1024) * 4096, 4096);
    slowest = Math.max(slowest, performance.now() - start);
    requests += 1;
  }
  console.log(JSON.stringify({ slowest, requests }));
  client.destroy();
}

async function flood(address: string, name: string, count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    const client = await NbdClient.connect(address, name);
    await client.disconnect();
  }
}

if (isMainThread) {
  const [mode = '', ...args] = process.argv.slice(2);
  if (mode === 'latency') {
    await measureLatency(args[0] ?? '', args[1] ?? '', Number(args[2]));
  } else if (mode === 'flood') {
    await flood(args[0] ?? '', args[1] ?? '', Number(args[2]));
  } else if (mode === 'worker') {
    await endWorkers(args[0] ?? '');
  } else {
    await walk(args[1] ?? '', (step) => {
      if (step === args[0]) endAs(mode);
    });
  }
} else {
  const { step, disk } = workerData as { step: Step; disk: string };
  mkdirSync(disk);
  await walk(disk, (reached) => {
    if (reached !== step) return;
    parentPort?.postMessage(step);
    return new Promise(() => {}); // Until it is terminated.
  });
}
