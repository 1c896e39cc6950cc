/** UNIX sockets: what a process that is gone has left behind, and who may use ours. */
import { chmod, rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { AurochsError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import { CommandError, SystemCommandRunner } from '../node/command.js';

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

/**
 * Lets the members of a group use a socket that is its owner's alone until then. A group that does not
 * exist is logged, no more: volumes must be served on a machine that lost a line of /etc/group.
 */
export async function shareSocket(path: string, group: string, log: Logger): Promise<void> {
  try {
    await new SystemCommandRunner().run('chgrp', [group, path]);
    await chmod(path, 0o660);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const hint = `groupadd --system ${group}, then restart the agent`;
    log.error('the API socket stays its owner’s alone', { group, error: error.message, hint });
  }
}
