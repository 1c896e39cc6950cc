/**
 * Stands between an initiator and a target so that they use header and data digests. Initiators of libiscsi
 * compute header digests, but the conformance suite prefers none whatever its URL says (`header_digest=crc32c`
 * is overruled), and data digests they do not know before libiscsi 1.20. So the proxy changes what they ask for
 * at login; after that it adds a digest to every data segment on the way to the target, and checks and removes
 * it on the way back (RFC 7143, 11.2.4 and 13.1). Header digests pass through as they are.
 */
import { type AddressInfo, createServer, connect, type Server, type Socket } from 'node:net';
import { once } from 'node:events';

const BHS_BYTES = 48;
const DIGEST_BYTES = 4;
const OPCODE_MASK = 0x3f;
const LOGIN_REQUEST = 0x03;
const LOGIN_RESPONSE = 0x23;
/** Login response that ends the login: T bit, next stage full feature (11.13). */
const LAST_LOGIN_FLAGS = 0x83;

const CRC32C_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ (value & 1 ? 0x82f63b78 : 0);
  return value;
});

function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (CRC32C_TABLE[(crc ^ byte) & 0xff] ?? 0);
  return ~crc >>> 0;
}

/** Cuts a stream into PDUs; `read` handles one and returns what to send on, or null if it is not all there. */
class PduStream {
  #pending = Buffer.alloc(0);

  constructor(
    from: Socket,
    private readonly to: Socket,
    private readonly read: (pending: Buffer) => { used: number; out: Buffer } | null,
  ) {
    from.on('data', (bytes) => this.#take(bytes));
    for (const event of ['close', 'error']) from.on(event, () => to.destroy());
  }

  #take(bytes: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    for (;;) {
      const pdu = this.read(this.#pending);
      if (pdu === null) return;
      this.#pending = this.#pending.subarray(pdu.used);
      this.to.write(pdu.out);
    }
  }
}

class ProxiedConnection {
  #fullFeature = false;
  #headerDigest = false;
  #dataDigest = false;

  constructor(
    initiator: Socket,
    target: Socket,
    private readonly onLoggedIn: (both: boolean) => void,
    private readonly onMismatch: () => void,
  ) {
    new PduStream(initiator, target, (pending) => this.#pdu(pending, true));
    new PduStream(target, initiator, (pending) => this.#pdu(pending, false));
  }

  #pdu(pending: Buffer, toTarget: boolean): { used: number; out: Buffer } | null {
    if (pending.length < BHS_BYTES) return null;
    const headBytes =
      BHS_BYTES + pending.readUInt8(4) * 4 + (this.#headerDigest ? DIGEST_BYTES : 0);
    const dataBytes = pending.readUIntBE(5, 3);
    const segmentBytes = dataBytes + (-dataBytes & 3);
    const hasDigest = this.#dataDigest && dataBytes > 0;
    const used = headBytes + segmentBytes + (hasDigest && !toTarget ? DIGEST_BYTES : 0);
    if (pending.length < used) return null;
    const head = pending.subarray(0, headBytes);
    const data = pending.subarray(headBytes, headBytes + segmentBytes);
    if (!this.#fullFeature) return { used, out: this.#loginPdu(head, data.subarray(0, dataBytes)) };
    if (!hasDigest) return { used, out: Buffer.from(pending.subarray(0, used)) };
    const digest = Buffer.alloc(DIGEST_BYTES);
    digest.writeUInt32LE(crc32c(data));
    if (toTarget) return { used, out: Buffer.concat([head, data, digest]) };
    if (!pending.subarray(used - DIGEST_BYTES, used).equals(digest)) this.onMismatch();
    return { used, out: Buffer.concat([head, data]) };
  }

  #loginPdu(head: Buffer, data: Buffer): Buffer {
    const opcode = head.readUInt8(0) & OPCODE_MASK;
    let text = data.toString('latin1');
    if (opcode === LOGIN_REQUEST) {
      text = text
        .replace('HeaderDigest=None,CRC32C\0', 'HeaderDigest=CRC32C\0')
        .replace('DataDigest=None\0', 'DataDigest=CRC32C\0');
    } else if (opcode === LOGIN_RESPONSE) {
      if (text.includes('HeaderDigest=CRC32C\0')) this.#headerDigest = true;
      if (text.includes('DataDigest=CRC32C\0')) this.#dataDigest = true;
      text = text.replace('DataDigest=CRC32C\0', 'DataDigest=None\0');
    }
    const bhs = Buffer.from(head.subarray(0, BHS_BYTES));
    const ended =
      opcode === LOGIN_RESPONSE &&
      (bhs.readUInt8(1) & LAST_LOGIN_FLAGS) === LAST_LOGIN_FLAGS &&
      bhs.readUInt16BE(36) === 0;
    bhs.writeUIntBE(text.length, 5, 3);
    const padding = Buffer.alloc(-text.length & 3);
    if (ended) {
      this.#fullFeature = true;
      this.onLoggedIn(this.#headerDigest && this.#dataDigest);
    }
    return Buffer.concat([bhs, Buffer.from(text, 'latin1'), padding]);
  }
}

export class DigestProxy {
  /** Logins that ended with both digests agreed, and all others. */
  logins = { withBoth: 0, without: 0 };
  mismatches = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  /** Forwards to `target`, "127.0.0.1:3260". */
  constructor(target: string) {
    const [host = '', port = ''] = target.split(':');
    this.#server = createServer((initiator) => {
      const upstream = connect({ host, port: Number(port), noDelay: true });
      initiator.setNoDelay(true);
      for (const socket of [initiator, upstream]) {
        this.#sockets.add(socket);
        socket.on('close', () => this.#sockets.delete(socket));
      }
      new ProxiedConnection(
        initiator,
        upstream,
        (both) => (this.logins[both ? 'withBoth' : 'without'] += 1),
        () => (this.mismatches += 1),
      );
    });
  }

  /** Returns the address that initiators connect to. */
  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
