/** Talks to the inspector of a Node process: the only way to keep its JavaScript thread busy from outside. */
import { WebSocket } from 'undici';

/** The address is what Node prints when it is started with --inspect. */
export function inspectorAddress(log: string): string {
  const address = /Debugger listening on (ws:\/\/\S+)/.exec(log)?.[1];
  if (address === undefined) throw new Error('no inspector listens');
  return address;
}

/** Runs a loop in the process that yields to nothing; resolves when it has ended. */
export async function blockJavaScript(address: string, milliseconds: number): Promise<void> {
  const socket = new WebSocket(address);
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    socket.addEventListener('error', () => reject(new Error(`cannot reach ${address}`)));
  });
  const answered = new Promise((resolve) => socket.addEventListener('message', resolve));
  const expression = `{ const end = Date.now() + ${milliseconds}; while (Date.now() < end); }`;
  socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } }));
  await answered;
  socket.close();
}
