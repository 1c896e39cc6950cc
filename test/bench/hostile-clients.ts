/** Clients that mean no good, beside one that works: how much of its speed is left to it? */
import { randomBytes } from 'node:crypto';
import { type NetConnectOpts, type Socket, connect } from 'node:net';

const HALF_OPEN = 400;
const NEVER_READING = 50;
/** Each asks for so many answers of 1 MiB and takes none. */
const READS_UNTAKEN = 32;
const GARBAGE_EVERY_MS = 5;
const GARBAGE_BYTES = 4096;

const HALF_A_LOGIN = Buffer.from('43870000'.padEnd(64, '0'), 'hex');
const NBD_GO = (name: string): Buffer => {
  const length = (4 + name.length + 2).toString(16).padStart(8, '0');
  const nameLength = name.length.toString(16).padStart(8, '0');
  const option = `49484156454f5054` + `00000007${length}${nameLength}`;
  return Buffer.from(`00000003${option}${Buffer.from(name).toString('hex')}0000`, 'hex');
};
const NBD_READ_1_MIB = Buffer.from(
  `25609513` + `0000` + `0000` + `0000000000000001` + `0000000000000000` + `00100000`,
  'hex',
);

/** Hundreds that stop in the middle of a login, dozens that ask and never read, and a stream of garbage. */
export function disturb(iscsi: NetConnectOpts, nbd: NetConnectOpts, name: string): () => void {
  const sockets = new Set<Socket>();
  let stopped = false;
  const open = (to: NetConnectOpts, bytes: Buffer): Socket => {
    const socket = connect(to);
    sockets.add(socket);
    socket.on('error', () => undefined); // Being thrown out is what is due to them.
    socket.on('close', () => sockets.delete(socket));
    socket.write(bytes);
    return socket;
  };
  /** Comes again when it is thrown out. */
  const halfOpen = (): void => {
    if (!stopped) open(iscsi, HALF_A_LOGIN).resume().on('close', halfOpen);
  };
  const neverReading = (): void => {
    if (stopped) return;
    const reads = Array.from({ length: READS_UNTAKEN }, () => NBD_READ_1_MIB);
    open(nbd, Buffer.concat([NBD_GO(name), ...reads])).on('close', neverReading);
  };
  for (let i = 0; i < HALF_OPEN; ++i) halfOpen();
  for (let i = 0; i < NEVER_READING; ++i) neverReading();
  const garbage = setInterval(
    () => open(iscsi, randomBytes(GARBAGE_BYTES)).resume(),
    GARBAGE_EVERY_MS,
  );
  return () => {
    stopped = true;
    clearInterval(garbage);
    for (const socket of sockets) socket.destroy();
  };
}
