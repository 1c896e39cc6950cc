/**
 * A volume's device behind LUKS2. A container is made like a file system: whole or not at all. Its label says whether
 * what is inside has ever been given to anybody; before, it is noise, and may be formatted over and over.
 */
import { AurochsError } from '../core/errors.js';
import type { Encryption, StageRequest } from '../volume/ports.js';
import type { BlockDevices } from './block-devices.js';
import { describe, probe } from './contents.js';
import type { VolumeFormatter } from './format-volume.js';
import type { Host } from './host-namespaces.js';
import {
  closeContainer,
  formatContainer,
  LABEL_NEW,
  LABEL_READY,
  labelContainer,
  openContainer,
} from './luks.js';
import { blankReadOnly, type Device, type VolumeMount } from './volume-mount.js';
import { findMapping } from './volume-stack.js';

export interface OpenedContainer extends Device {
  /** Holds nothing yet: format it, then `giveAway`. */
  isNew: boolean;
}

export class EncryptedDevices {
  constructor(
    private readonly host: Host,
    private readonly blocks: BlockDevices,
    private readonly formatter: VolumeFormatter,
    private readonly mount: VolumeMount,
  ) {}

  /** Makes the container if the volume is blank, and opens it. REQUIRES: it is not open. */
  async open(
    request: StageRequest,
    device: Device,
    encryption: Encryption,
  ): Promise<OpenedContainer> {
    const { volume, volumeId, readOnly } = request;
    await this.mount.refuseHeld(volume, device);
    const contents = await probe(this.host, device.path, volumeId);
    let isNew = contents.kind === 'encrypted' && contents.label === LABEL_NEW;
    if (contents.kind === 'blank' || contents.kind === 'unfinished') {
      if (readOnly) throw blankReadOnly(volume);
      await this.#format(request, device, encryption);
      isNew = true;
    } else if (contents.kind !== 'encrypted') {
      throw new AurochsError(
        'FAILED_PRECONDITION',
        `volume ${volume} holds ${describe(contents)}, which is not encrypted`,
        'Nothing has been changed. Stage it without encryption, or copy its data to a new volume that is encrypted.',
      );
    }
    if (readOnly && isNew) throw blankReadOnly(volume);
    await openContainer(this.host, volume, device.path, encryption.passphrase, readOnly);
    const mapping = await findMapping(this.blocks, volume, device);
    if (mapping !== null) return { path: mapping.path, name: mapping.name, isNew };
    throw new AurochsError(
      'IO',
      `volume ${volume}: its encryption was opened, but /sys/block does not show it`,
      'See the end of dmesg.',
    );
  }

  /** From now on what is inside is somebody's. */
  async giveAway(volume: string, device: Device): Promise<void> {
    await labelContainer(this.host, volume, device.path, LABEL_READY);
  }

  async close(volume: string): Promise<void> {
    await closeContainer(this.host, volume);
  }

  async #format(request: StageRequest, device: Device, encryption: Encryption): Promise<void> {
    const { volume, volumeId } = request;
    const physical = await this.blocks.physicalBlockBytes(device.name);
    const sizeBytes = (await this.blocks.sizeBytes(device.name)) ?? 0n;
    const target = { volume, volumeId, path: device.path, sizeBytes };
    await this.formatter.format(target, (image) =>
      formatContainer(this.host, volume, image, encryption, LABEL_NEW, physical),
    );
  }
}

/** A container that was made here; a user of a raw volume may have one of their own. */
export function isOurLabel(label: string): boolean {
  return label === LABEL_NEW || label === LABEL_READY;
}
