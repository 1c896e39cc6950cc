/**
 * Our side of the benchmark: the native data path alone, with one volume on a replica and one over
 * the null device, each through both frontends. Ends with its standard input.
 *
 * server.js DISK_DIRECTORY ISCSI_PORTAL NBD_SOCKET SIZE_BYTES
 */
import { loadBinding } from '../../src/native/binding.js';

const [disk = '', portal = '', socket = '', size = ''] = process.argv.slice(2);

const host = loadBinding().createHost({ loops: 1, ioBackend: 'auto', lockMemory: false }, () => {});
await host.listenIscsi(portal);
await host.listenNbd(`unix:${socket}`, null);
await host.createReplica(disk, 'bench', {
  volumeId: '00000000-0000-4000-8000-000000000001',
  replicaId: '00000000-0000-4000-8000-000000000002',
  sizeBytes: BigInt(size),
});
const volumes = {
  file: await host.openVolume(disk, 'bench', 1n),
  null: await host.openTestVolume('null', BigInt(size)),
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
