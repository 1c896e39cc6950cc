import { once } from 'node:events';
import { type NetConnectOpts, connect } from 'node:net';

/** Whether somebody accepts connections there now. */
export async function accepts(address: NetConnectOpts): Promise<boolean> {
  const socket = connect(address);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
