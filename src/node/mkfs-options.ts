/**
 * What a user may tell mkfs. Only what is listed is passed on: these programs also take names of devices and files to
 * read and to write, and flags that make them overwrite what they recognise (docs/devices.md has the list).
 */
import { AurochsError } from '../core/errors.js';
import { FORMAT_OPTION_CHARS_MAX, FORMAT_OPTIONS_MAX } from '../core/limits.js';
import type { FileSystemType } from '../volume/ports.js';

const NUMBER = /^\d{1,12}[kmgt]?$/i;
const SWITCH = /^[01]$/;
const UUID = /^(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|random|time)$/i;
const LABEL = /^[\w.-]{1,16}$/;

/** What may follow a flag: nothing, a value of that form, or suboptions "key=value,key". */
type Value =
  | null
  | { form: RegExp }
  /** By key: the form of its value; null when it has none. */
  | { suboptions: Readonly<Record<string, RegExp | null>> };

const EXT4: Readonly<Record<string, Value>> = {
  '-b': { form: /^(?:1024|2048|4096)$/ },
  '-C': { form: NUMBER },
  '-e': { form: /^(?:continue|remount-ro)$/ },
  '-E': {
    suboptions: {
      discard: null,
      lazy_itable_init: SWITCH,
      nodiscard: null,
      num_backup_sb: /^[012]$/,
      packed_meta_blocks: SWITCH,
      quotatype: /^(?:usrquota|grpquota|prjquota)(?::(?:usrquota|grpquota|prjquota))*$/,
      resize: NUMBER,
      root_owner: /^\d{1,10}:\d{1,10}$/,
      stride: NUMBER,
      'stripe-width': NUMBER,
      stripe_width: NUMBER,
    },
  },
  '-g': { form: NUMBER },
  '-G': { form: NUMBER },
  '-i': { form: NUMBER },
  '-I': { form: NUMBER },
  '-j': null,
  '-J': { suboptions: { fast_commit_size: NUMBER, size: NUMBER } },
  '-L': { form: LABEL },
  '-m': { form: /^\d{1,2}(?:\.\d{1,3})?$/ },
  '-N': { form: NUMBER },
  // A journal_dev is a journal for another file system, and no file system.
  '-O': { form: /^(?!.*journal_dev)[\w^]+(?:,[\w^]+)*$/ },
  '-T': { form: /^[\w-]+(?:,[\w-]+)*$/ },
  '-U': { form: UUID },
};

const XFS: Readonly<Record<string, Value>> = {
  '-b': { suboptions: { size: NUMBER } },
  '-d': {
    suboptions: {
      agcount: NUMBER,
      agsize: NUMBER,
      cowextsize: NUMBER,
      extszinherit: NUMBER,
      noalign: null,
      su: NUMBER,
      sunit: NUMBER,
      sw: NUMBER,
      swidth: NUMBER,
    },
  },
  '-i': {
    suboptions: {
      attr: /^[012]$/,
      maxpct: /^\d{1,3}$/,
      nrext64: SWITCH,
      perblock: NUMBER,
      projid32bit: SWITCH,
      size: NUMBER,
      sparse: SWITCH,
    },
  },
  '-K': null,
  '-l': {
    suboptions: { 'lazy-count': SWITCH, size: NUMBER, su: NUMBER, sunit: NUMBER, version: NUMBER },
  },
  '-L': { form: /^[\w.-]{1,12}$/ },
  '-m': {
    suboptions: {
      bigtime: SWITCH,
      crc: SWITCH,
      finobt: SWITCH,
      inobtcount: SWITCH,
      reflink: SWITCH,
      rmapbt: SWITCH,
      uuid: UUID,
    },
  },
  '-n': { suboptions: { ftype: SWITCH, size: NUMBER, version: /^(?:2|ci)$/ } },
  '-s': { suboptions: { size: NUMBER } },
};

const ALLOWED: Record<FileSystemType, Readonly<Record<string, Value>>> = { ext4: EXT4, xfs: XFS };

/** "-m", "0" and "-m0" are the same; each flag once, with what follows it. */
export function parseFormatOptions(
  type: FileSystemType,
  args: readonly string[],
): Map<string, string | null> {
  if (
    args.length > FORMAT_OPTIONS_MAX ||
    args.some((arg) => arg.length > FORMAT_OPTION_CHARS_MAX)
  ) {
    throw new AurochsError(
      'LIMIT_EXCEEDED',
      `mkfs.${type}: more than ${FORMAT_OPTIONS_MAX} options, or one of more than ${FORMAT_OPTION_CHARS_MAX} characters`,
    );
  }
  const options = new Map<string, string | null>();
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    const flag = arg.slice(0, 2);
    const value = Object.hasOwn(ALLOWED[type], flag) ? ALLOWED[type][flag] : undefined;
    if (value === undefined) throw refused(type, arg, 'is not among those that may be given');
    if (options.has(flag)) throw refused(type, flag, 'is given twice');
    const text = value === null ? null : arg.length > 2 ? arg.slice(2) : (rest.shift() ?? '');
    if (!isAllowed(value, text) || (value === null && arg.length > 2)) {
      throw refused(type, flag, `may not have the value ${JSON.stringify(text ?? arg.slice(2))}`);
    }
    options.set(flag, text);
  }
  return options;
}

function isAllowed(value: Value, text: string | null): boolean {
  if (value === null || text === null) return value === null && text === null;
  if ('form' in value) return value.form.test(text);
  return text.split(',').every((suboption) => {
    const equals = suboption.indexOf('=');
    const key = equals < 0 ? suboption : suboption.slice(0, equals);
    if (!Object.hasOwn(value.suboptions, key)) return false;
    const form = value.suboptions[key];
    return form === null ? equals < 0 : form?.test(suboption.slice(equals + 1)) === true;
  });
}

function refused(type: FileSystemType, option: string, why: string): AurochsError {
  const flags = Object.keys(ALLOWED[type]).join(' ');
  return new AurochsError(
    'INVALID_ARGUMENT',
    `mkfs.${type}: the option ${JSON.stringify(option)} ${why}`,
    `One argument each, of ${flags}; docs/devices.md has their values.`,
  );
}

/** How a file system is made, on an image of the device or on a device that is wholly ours. */
export interface MkfsRequest {
  type: FileSystemType;
  formatOptions: readonly string[];
  /** Where: an image, which does not say by itself what the device is made of. */
  target: string;
  physicalBlockBytes: number | null;
  /** Overwrites what mkfs recognises. */
  force: boolean;
}

export interface MkfsCommand {
  program: string;
  args: string[];
  env: Record<string, string>;
}

/**
 * Blocks of an image must be whole on the device, whatever it calls a sector. Discarding first gives nothing back on a
 * new volume. Inode tables are zeroed by the kernel later (lazy_itable_init); the journal is zeroed by mkfs.ext4 itself,
 * with bytes and not with holes (UNIX_IO_NOZEROOUT), so that what is copied from an image has them.
 */
export function mkfsCommand(request: MkfsRequest): MkfsCommand {
  const { type, target, physicalBlockBytes, force } = request;
  const options = parseFormatOptions(type, request.formatOptions);
  const large = physicalBlockBytes !== null && physicalBlockBytes >= 4096;
  if (type === 'xfs') {
    if (large && !options.has('-s')) options.set('-s', 'size=4096');
    options.set('-K', null);
    const args = ['-q', ...(force ? ['-f'] : []), ...flatten(options), target];
    return { program: 'mkfs.xfs', args, env: {} };
  }
  if (large && !options.has('-b')) options.set('-b', '4096');
  const extended = options.get('-E');
  options.set('-E', ['nodiscard,lazy_itable_init=1', extended].filter(Boolean).join(','));
  const args = ['-q', ...(force ? ['-F'] : []), ...flatten(options), target];
  // A device knows zeros that cost nothing; an image must have bytes.
  return { program: 'mkfs.ext4', args, env: force ? {} : { UNIX_IO_NOZEROOUT: '1' } };
}

function flatten(options: ReadonlyMap<string, string | null>): string[] {
  return [...options].flatMap(([flag, value]) => (value === null ? [flag] : [flag, value]));
}
