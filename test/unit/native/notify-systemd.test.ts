import assert from 'node:assert/strict';
import { loadBinding } from '../../../src/native/binding.js';
import { hasCode } from './support.js';

// That the datagram arrives is a test of the core: Node cannot receive one.
describe('the addon’s notifySystemd', () => {
  const before = process.env['NOTIFY_SOCKET'];

  beforeEach(() => {
    delete process.env['NOTIFY_SOCKET'];
  });
  after(() => {
    if (before === undefined) delete process.env['NOTIFY_SOCKET'];
    else process.env['NOTIFY_SOCKET'] = before;
  });

  it('is false while nobody asks to be notified', () => {
    assert.equal(loadBinding().notifySystemd('READY=1'), false);
  });

  it('sees the variable as JavaScript sets it and throws what keeps the state from being sent', () => {
    process.env['NOTIFY_SOCKET'] = '/nowhere/notify';
    assert.throws(() => loadBinding().notifySystemd('READY=1'), hasCode('NOT_FOUND'));
    process.env['NOTIFY_SOCKET'] = 'relative';
    assert.throws(() => loadBinding().notifySystemd('READY=1'), hasCode('INVALID_ARGUMENT'));
  });
});
