/** A small NBD client (the NBD project's proto.md) that tells exactly which requests were answered. */
import { type Socket, connect } from 'node:net';

const NBDMAGIC = 0x4e42444d41474943n;
const IHAVEOPT = 0x49484156454f5054n;
const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const SIMPLE_REPLY_MAGIC = 0x67446698;
const OPT_GO = 7;
const REP_ACK = 1;
const REP_INFO = 3;
const INFO_EXPORT = 0;
const FLAG_FIXED_NEWSTYLE = 1;
const FLAG_NO_ZEROES = 2;

export const NBD_COMMANDS = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  writeZeroes: 6,
} as const;
export type NbdCommand = keyof typeof NBD_COMMANDS;

export const NBD_FLAG_FUA = 1;
export const NBD_FLAG_NO_HOLE = 2;

interface Pending {
  lengthOfReply: number;
  resolve: (data: Buffer) => void;
  reject: (error: Error) => void;
}

/** The server answered with an error. */
export class NbdError extends Error {
  constructor(readonly errno: number) {
    super(`the NBD server answered with error ${errno}`);
  }
}

export class NbdConnection {
  sizeBytes = 0n;
  #cookie = 0n;
  #ended: Error | null = null;
  readonly #pending = new Map<bigint, Pending>();
  readonly #input: ByteQueue;

  private constructor(private readonly socket: Socket) {
    this.#input = new ByteQueue(socket);
  }

  /** Connects and negotiates; rejects when nobody listens or there is no such export. */
  static async open(socketPath: string, exportName: string): Promise<NbdConnection> {
    const socket = connect(socketPath);
    const connection = new NbdConnection(socket);
    try {
      await connection.#negotiate(exportName);
    } catch (error) {
      socket.destroy();
      throw error;
    }
    void connection.#receive();
    return connection;
  }

  /** Resolves with what was read (else nothing) once the server has answered. */
  request(
    command: NbdCommand,
    offset: number,
    length: number,
    { data, flags = 0 }: { data?: Buffer; flags?: number } = {},
  ): Promise<Buffer> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const header = Buffer.alloc(28);
    const cookie = (this.#cookie += 1n);
    header.writeUInt32BE(REQUEST_MAGIC, 0);
    header.writeUInt16BE(flags, 4);
    header.writeUInt16BE(NBD_COMMANDS[command], 6);
    header.writeBigUInt64BE(cookie, 8);
    header.writeBigUInt64BE(BigInt(offset), 16);
    header.writeUInt32BE(length, 24);
    const answered = new Promise<Buffer>((resolve, reject) => {
      const lengthOfReply = command === 'read' ? length : 0;
      this.#pending.set(cookie, { lengthOfReply, resolve, reject });
    });
    this.socket.write(data === undefined ? header : Buffer.concat([header, data]));
    return answered;
  }

  /** Ends the connection; requests in flight are rejected. */
  close(): void {
    this.#end(new Error('the connection was closed'));
  }

  async #negotiate(exportName: string): Promise<void> {
    const greeting = await this.#input.take(18);
    if (greeting.readBigUInt64BE(0) !== NBDMAGIC || greeting.readBigUInt64BE(8) !== IHAVEOPT) {
      throw new Error('not an NBD server');
    }
    const name = Buffer.from(exportName);
    const option = Buffer.alloc(4 + 16 + 4);
    option.writeUInt32BE(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES, 0);
    option.writeBigUInt64BE(IHAVEOPT, 4);
    option.writeUInt32BE(OPT_GO, 12);
    option.writeUInt32BE(4 + name.length + 2, 16);
    option.writeUInt32BE(name.length, 20);
    this.socket.write(Buffer.concat([option, name, Buffer.alloc(2)]));
    for (;;) {
      const header = await this.#input.take(20);
      if (header.readBigUInt64BE(0) !== OPTION_REPLY_MAGIC) throw new Error('no option reply');
      const type = header.readUInt32BE(12);
      const data = await this.#input.take(header.readUInt32BE(16));
      if (type === REP_ACK) return;
      if (type !== REP_INFO) throw new Error(`no export ${exportName}: reply ${type.toString(16)}`);
      if (data.readUInt16BE(0) === INFO_EXPORT) this.sizeBytes = data.readBigUInt64BE(2);
    }
  }

  async #receive(): Promise<void> {
    try {
      for (;;) {
        const header = await this.#input.take(16);
        if (header.readUInt32BE(0) !== SIMPLE_REPLY_MAGIC) throw new Error('no simple reply');
        const cookie = header.readBigUInt64BE(8);
        const pending = this.#pending.get(cookie);
        if (pending === undefined) throw new Error(`an answer to nothing: ${cookie}`);
        const errno = header.readUInt32BE(4);
        const data = await this.#input.take(errno === 0 ? pending.lengthOfReply : 0);
        this.#pending.delete(cookie);
        if (errno === 0) pending.resolve(data);
        else pending.reject(new NbdError(errno));
      }
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.socket.destroy();
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
  }
}

/** Hands out the bytes of a socket in the pieces that a protocol asks for. */
class ByteQueue {
  #chunks: Buffer[] = [];
  #length = 0;
  #wake: (() => void) | null = null;
  #error: Error | null = null;

  constructor(socket: Socket) {
    const end = (error?: Error): void => {
      this.#error ??= error ?? new Error('the server closed the connection');
      this.#wake?.();
    };
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.#wake?.();
    });
    socket.on('error', end);
    socket.on('close', () => end());
  }

  async take(length: number): Promise<Buffer> {
    while (this.#length < length) {
      if (this.#error !== null) throw this.#error;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const all = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
    if (all === undefined) return Buffer.alloc(0);
    this.#chunks = all.length > length ? [all.subarray(length)] : [];
    this.#length -= length;
    return all.subarray(0, length);
  }
}
