/** UNIX sockets that a process which is gone has left behind. */
import { rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { AurochsError } from '../core/errors.js';

/** Removes a socket that nobody serves. BUSY if somebody does; refuses to touch any other file. */
export async function removeStaleSocket(path: string, flag: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null) return;
  if (!found.isSocket()) {
    throw new AurochsError(
      'ALREADY_EXISTS',
      `${flag} ${path}: there is a file of that name`,
      'Choose another path, or remove the file.',
    );
  }
  if (await isServed(path)) {
    throw new AurochsError(
      'BUSY',
      `${flag} ${path} is in use by another process`,
      `Stop it, or choose another path with ${flag}.`,
    );
  }
  await rm(path, { force: true });
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
