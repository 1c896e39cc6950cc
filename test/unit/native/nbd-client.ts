/** A small NBD client (proto.md): EXPORT_NAME, then simple replies, any number in flight. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const CLIENT_MAGIC = 0x49484156454f5054n; // "IHAVEOPT"
const REQUEST_MAGIC = 0x25609513;
const REPLY_MAGIC = 0x67446698;
const OPTION_EXPORT_NAME = 1;
const FIXED_NEWSTYLE_NO_ZEROES = 3;
const [READ, WRITE, DISCONNECT, FLUSH] = [0, 1, 2, 3];
const GREETING_BYTES = 18;
const EXPORT_BYTES = 10;
const REPLY_BYTES = 16;

interface Waiter {
  dataBytes: number;
  resolve(data: Buffer): void;
  reject(error: Error): void;
}

/** "127.0.0.1:10809" as node:net wants it. */
export function hostAndPort(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
}

export class NbdClient {
  readonly #socket: Socket;
  readonly #waiting = new Map<bigint, Waiter>();
  #received = Buffer.alloc(0);
  #need: { bytes: number; resolve(data: Buffer): void; reject(error: Error): void } | null = null;
  #next = 1n;
  sizeBytes = 0n;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', () => {}); // 'close' follows.
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  static async connect(address: string, exportName: string): Promise<NbdClient> {
    const socket = connect({ ...hostAndPort(address), noDelay: true });
    await once(socket, 'connect');
    const client = new NbdClient(socket);
    await client.#take18();
    const name = Buffer.from(exportName);
    const hello = Buffer.alloc(20);
    hello.writeUInt32BE(FIXED_NEWSTYLE_NO_ZEROES, 0);
    hello.writeBigUInt64BE(CLIENT_MAGIC, 4);
    hello.writeUInt32BE(OPTION_EXPORT_NAME, 12);
    hello.writeUInt32BE(name.length, 16);
    socket.write(Buffer.concat([hello, name]));
    client.sizeBytes = (await client.#bytes(EXPORT_BYTES)).readBigUInt64BE(0);
    void client.#readReplies();
    return client;
  }

  read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    return this.#request(READ, offsetBytes, lengthBytes, null);
  }

  async write(offsetBytes: number, data: Buffer): Promise<void> {
    await this.#request(WRITE, offsetBytes, data.length, data);
  }

  async flush(): Promise<void> {
    await this.#request(FLUSH, 0, 0, null);
  }

  /** Says goodbye and waits for the server to close. */
  async disconnect(): Promise<void> {
    if (this.#socket.destroyed) return;
    this.#send(DISCONNECT, 0, 0, null);
    await once(this.#socket, 'close');
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #send(type: number, offsetBytes: number, lengthBytes: number, data: Buffer | null): bigint {
    const cookie = this.#next++;
    const header = Buffer.alloc(28);
    header.writeUInt32BE(REQUEST_MAGIC, 0);
    header.writeUInt16BE(type, 6);
    header.writeBigUInt64BE(cookie, 8);
    header.writeBigUInt64BE(BigInt(offsetBytes), 16);
    header.writeUInt32BE(lengthBytes, 24);
    this.#socket.write(data === null ? header : Buffer.concat([header, data]));
    return cookie;
  }

  #request(
    type: number,
    offsetBytes: number,
    lengthBytes: number,
    data: Buffer | null,
  ): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new Error('the connection is closed'));
      const cookie = this.#send(type, offsetBytes, lengthBytes, data);
      this.#waiting.set(cookie, { dataBytes: type === READ ? lengthBytes : 0, resolve, reject });
    });
  }

  async #readReplies(): Promise<void> {
    try {
      for (;;) {
        const header = await this.#bytes(REPLY_BYTES);
        assert.equal(header.readUInt32BE(0), REPLY_MAGIC);
        const cookie = header.readBigUInt64BE(8);
        const waiter = this.#waiting.get(cookie);
        assert(waiter !== undefined, `answer to nothing: ${cookie}`);
        this.#waiting.delete(cookie);
        const error = header.readUInt32BE(4);
        if (error !== 0) waiter.reject(new Error(`NBD error ${error}`));
        else waiter.resolve(await this.#bytes(waiter.dataBytes));
      }
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #take18(): Promise<Buffer> {
    return this.#bytes(GREETING_BYTES);
  }

  #bytes(count: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#need = { bytes: count, resolve, reject };
      this.#take(Buffer.alloc(0));
    });
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    const need = this.#need;
    if (need === null || this.#received.length < need.bytes) return;
    this.#need = null;
    const taken = this.#received.subarray(0, need.bytes);
    this.#received = this.#received.subarray(need.bytes);
    need.resolve(taken);
  }

  #fail(error: Error): void {
    this.#need?.reject(error);
    this.#need = null;
    for (const waiter of this.#waiting.values()) waiter.reject(error);
    this.#waiting.clear();
  }
}
