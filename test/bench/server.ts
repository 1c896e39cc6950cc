/**
 * Our side of the benchmark: the native data path alone, with two volumes on replicas, each on a loop
 * of its own, and one over the null device, all through both frontends.
 *
 * server.js DISK_DIRECTORY ISCSI_PORTAL NBD_SOCKET SIZE_BYTES
 */
import { loadBinding } from '../../src/native/binding.js';

const [disk = '', portal = '', socket = '', size = ''] = process.argv.slice(2);

const host = loadBinding().createHost({ loops: 2, ioBackend: 'auto', lockMemory: false }, () => {});
await host.listenIscsi(portal);
await host.listenNbd(`unix:${socket}`, null);
const sizeBytes = BigInt(size);
for (const [index, name] of ['file', 'second'].entries()) {
  await host.createReplica(disk, name, {
    volumeId: `00000000-0000-4000-8000-00000000001${index}`,
    replicaId: `00000000-0000-4000-8000-00000000002${index}`,
    sizeBytes,
  });
}
// Each goes to the loop that has the fewest, so the first two are apart.
const volumes = {
  file: await host.openVolume(disk, 'file', 1n),
  second: await host.openVolume(disk, 'second', 1n),
  null: await host.openTestVolume('null', sizeBytes),
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

process.on('SIGTERM', () => {
  void host.close().then(() => process.exit(0));
});
