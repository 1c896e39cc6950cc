import { strict as assert } from 'node:assert';
import { Slots } from '../../../src/core/slots.js';
import { rejectsWith } from '../../support/rejects.js';

const NEVER = new AbortController().signal;

/** Whether the promise has resolved by now. */
async function isDone(promise: Promise<unknown>): Promise<boolean> {
  const later = new Promise<boolean>((resolve) => setImmediate(() => resolve(false)));
  return Promise.race([promise.then(() => true), later]);
}

describe('Slots', () => {
  it('lets so many in at once, and the others in their order', async () => {
    const slots = new Slots(2, 2);
    const first = await slots.take('a', NEVER);
    await slots.take('b', NEVER);
    const third = slots.take('a', NEVER);
    const fourth = slots.take('c', NEVER);
    assert.equal(await isDone(third), false);
    first();
    const release = await third;
    assert.equal(await isDone(fourth), false);
    release();
    await fourth;
  });

  it('lets only some of one kind in, and others past those that wait for that', async () => {
    const slots = new Slots(3, 1);
    const first = await slots.take('a', NEVER);
    const second = slots.take('a', NEVER);
    await slots.take('b', NEVER);
    assert.equal(await isDone(second), false);
    first();
    await second;
  });

  it('forgets who gives up, and loses no place to him', async () => {
    const slots = new Slots(1, 1);
    const first = await slots.take('a', NEVER);
    const impatient = new AbortController();
    const second = slots.take('a', impatient.signal);
    const third = slots.take('a', NEVER);
    impatient.abort();
    await rejectsWith('ABORTED', second);
    first();
    await third;
    await rejectsWith('ABORTED', slots.take('a', impatient.signal));
  });

  it('gives a place to whoever had it before the signal came', async () => {
    const slots = new Slots(1, 1);
    const first = await slots.take('a', NEVER);
    const late = new AbortController();
    const second = slots.take('a', late.signal);
    first();
    late.abort();
    (await second)();
    await slots.take('a', NEVER);
  });
});
