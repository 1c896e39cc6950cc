import type { NativeVolume } from '../native/binding-types.js';
import { translated } from '../native/native-error.js';
import type {
  DiffPage,
  EngineVolume,
  IscsiAccess,
  IscsiExportConfig,
  NbdExportConfig,
  ReplicaCopy,
  ReplicaDescription,
} from '../volume/ports.js';

/** One open volume of the data path, with errors as the domain knows them. */
export class HostedVolume implements EngineVolume {
  readonly #volume: NativeVolume;

  constructor(volume: NativeVolume) {
    this.#volume = volume;
  }

  describe(): Promise<ReplicaDescription> {
    return translated(this.#volume.describe());
  }

  takeSnapshot(id: string, name: string, createdUnixMs: number): Promise<void> {
    return translated(this.#volume.takeSnapshot(id, name, createdUnixMs));
  }

  revert(id: string): Promise<void> {
    return translated(this.#volume.revert(id));
  }

  deleteSnapshot(id: string): Promise<void> {
    return translated(this.#volume.deleteSnapshot(id));
  }

  expand(sizeBytes: bigint): Promise<void> {
    return translated(this.#volume.expand(sizeBytes));
  }

  diff(older: string, newer: string, offsetBytes: bigint, runsMax: number): Promise<DiffPage> {
    return translated(this.#volume.diff(older, newer, offsetBytes, runsMax));
  }

  copySnapshot(snapshotId: string, copy: ReplicaCopy): Promise<void> {
    return translated(this.#volume.copySnapshot(snapshotId, copy));
  }

  cancelCopy(name: string): Promise<void> {
    return translated(this.#volume.cancelCopy(name));
  }

  async holdWrites(deadlineMs: number): Promise<() => Promise<boolean>> {
    const hold = await translated(this.#volume.holdWrites(deadlineMs));
    return () => translated(this.#volume.releaseWrites(hold));
  }

  exportIscsi(config: IscsiExportConfig): Promise<void> {
    return translated(this.#volume.exportIscsi(config));
  }

  setIscsiAccess(access: IscsiAccess): Promise<void> {
    return translated(this.#volume.setIscsiAccess(access));
  }

  unexportIscsi(): Promise<void> {
    return translated(this.#volume.unexportIscsi());
  }

  exportNbd(config: NbdExportConfig): Promise<void> {
    return translated(this.#volume.exportNbd(config));
  }

  unexportNbd(): Promise<void> {
    return translated(this.#volume.unexportNbd());
  }

  close(): Promise<void> {
    return translated(this.#volume.close());
  }
}
