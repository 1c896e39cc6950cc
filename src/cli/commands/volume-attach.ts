import type { DeviceFrontend, Frontend, Provisioning, VolumeAttachBody } from '../../api/types.js';
import { AurochsError } from '../../core/errors.js';
import { VOLUME } from '../arguments.js';
import { command } from '../command.js';
import { deviceInWords, printAddresses, printDeviceUse } from '../volume-view.js';

const FRONTENDS: readonly DeviceFrontend[] = ['auto', 'iscsi', 'nbd'];
const PROVISIONINGS: readonly Provisioning[] = ['thin', 'full'];

export const volumeAttach = command({
  usage: 'attach <volume>',
  describe: 'Offer a volume over iSCSI and NBD, or make it a block device of this machine',
  examples: [
    ['$0 volume attach db', 'through both frontends'],
    ['$0 volume attach db --frontend nbd --read-only', 'through one, for reading only'],
    ['$0 volume attach db --device', '/dev/aurochs/db, over iSCSI if that can be used, else NBD'],
    ['$0 volume attach db --device --frontend nbd', 'over NBD'],
  ],
  positionals: { volume: VOLUME },
  options: {
    frontend: {
      choices: FRONTENDS,
      array: true,
      requiresArg: true,
      describe: 'Frontend to offer it through; with --device the one that the device comes through',
    },
    device: { type: 'boolean', default: false, describe: 'As a block device of this machine' },
    'read-only': { type: 'boolean', default: false, describe: 'Refuse writes' },
    removable: {
      type: 'boolean',
      default: false,
      describe: 'Over iSCSI: a medium that can be unloaded and locked',
    },
    provision: {
      choices: PROVISIONINGS,
      requiresArg: true,
      describe: 'Over iSCSI: thin lets initiators give blocks back (default), full does not',
    },
  },
  run: async ({ args, api, output }) => {
    const body: VolumeAttachBody = {};
    if (args.device) body.device = { frontend: deviceFrontend(args.frontend ?? []) };
    else if (args.frontend !== undefined) body.frontends = offered(args.frontend);
    if (args.readOnly) body.readOnly = true;
    if (args.removable) body.removable = true;
    if (args.provision !== undefined) body.provisioning = args.provision;
    const volume = await api.attachVolume(args.volume, body);
    if (!args.device || volume.device === null) {
      output.done(volume, `attached volume ${volume.name}`);
      if (output.format === 'table') printAddresses(output, volume);
      return;
    }
    output.done(volume, `attached volume ${volume.name} as ${deviceInWords(volume.device)}`);
    if (output.format === 'table') printDeviceUse(output, volume.name, volume.device.path);
  },
});

function deviceFrontend(named: readonly DeviceFrontend[]): DeviceFrontend {
  const [frontend = 'auto', second] = named;
  if (second === undefined) return frontend;
  throw new AurochsError(
    'INVALID_ARGUMENT',
    'a device comes through one frontend, and several were named',
    'Name one with --device; attaching again without --device offers the volume through more.',
  );
}

function offered(named: readonly DeviceFrontend[]): Frontend[] {
  const frontends = named.filter((each) => each !== 'auto');
  if (frontends.length === named.length) return frontends;
  throw new AurochsError(
    'INVALID_ARGUMENT',
    '--frontend auto chooses what a device comes through, and no device was asked for',
    'Add --device, or leave --frontend away: the volume is offered through every frontend then.',
  );
}
