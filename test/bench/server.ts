/**
 * Our side of the benchmark: the native data path alone, with two volumes on replicas, each on a loop
 * of its own, one over the null device, and two small ones with few and with many snapshots, all through both
 * frontends.
 *
 * server.js DISK_DIRECTORY ISCSI_PORTAL NBD_SOCKET SIZE_BYTES
 */
import { loadBinding } from '../../src/native/binding.js';
import { NbdConnection } from '../support/nbd-connection.js';

const CHAIN_BYTES = 256 * 1024 ** 2;
const FILL_BYTES = 1024 ** 2;
const LAYER_BYTES = 64 * 1024;
const LAYER_WRITES = 1_000;

const [disk = '', portal = '', socket = '', size = ''] = process.argv.slice(2);

const host = loadBinding().createHost({ loops: 2, ioBackend: 'auto', lockMemory: false }, () => {});
await host.listenNbd(`unix:${socket}`, null);
const sizeBytes = BigInt(size);
const create = async (name: string, index: number, bytes: bigint) => {
  await host.createReplica(disk, name, { ...idsOf(index), sizeBytes: bytes });
  return host.openVolume(disk, name, 1n);
};
// Each goes to the loop that has the fewest, so the first two are apart.
const volumes = {
  file: await create('file', 0, sizeBytes),
  second: await create('second', 1, sizeBytes),
  null: await host.openTestVolume('null', sizeBytes),
  chain: await create('chain', 2, BigInt(CHAIN_BYTES)),
  single: await create('single', 3, BigInt(CHAIN_BYTES)),
};
for (const [name, volume] of Object.entries(volumes)) {
  await volume.exportIscsi({
    targetName: `iqn.2026-11.io.aurochs:${name}`,
    serial: name,
    readOnly: false,
    removable: false,
    provisioning: 'thin',
    access: { chap: null, mutualChap: null, initiators: [] },
  });
  await volume.exportNbd({ name, description: '', readOnly: false });
}
await writeWithSnapshots('chain', LAYER_WRITES);
await writeWithSnapshots('single', 1);
await host.listenIscsi(portal); // Last: whoever is answered there finds everything.

process.on('SIGTERM', () => {
  void host.close().then(() => process.exit(0));
});

function idsOf(index: number): { volumeId: string; replicaId: string } {
  const id = (kind: number) => `00000000-0000-4000-8000-0000000000${kind}${index}`;
  return { volumeId: id(1), replicaId: id(2) };
}

/** Written all over, then in LAYER_WRITES places, with so many snapshots evenly in between. */
async function writeWithSnapshots(name: 'chain' | 'single', snapshots: number): Promise<void> {
  const connection = await NbdConnection.open(socket, name);
  const write = (offset: number, bytes: number, byte: number) =>
    connection.request('write', offset, bytes, { data: Buffer.alloc(bytes, byte) });
  for (let at = 0; at < CHAIN_BYTES; at += FILL_BYTES) await write(at, FILL_BYTES, 1);
  for (let layer = 0; layer < LAYER_WRITES; ++layer) {
    // An odd number of steps, and a power of two of places: all different, and not in order.
    await write(((layer * 2_654_435) % (CHAIN_BYTES / LAYER_BYTES)) * LAYER_BYTES, LAYER_BYTES, 2);
    if (layer % (LAYER_WRITES / snapshots) !== 0) continue;
    const id = `00000000-0000-4000-8000-${String(layer).padStart(12, '0')}`;
    await volumes[name].takeSnapshot(id, `s${layer}`, layer);
  }
  connection.close();
}
