/**
 * Sizes for people. "10GiB", "10G" and "10 gib" are the same; KB, MB, GB and TB are powers of a
 * thousand, as on the box of a disk.
 */
import { AurochsError } from './errors.js';

const BINARY = { K: 1n, M: 2n, G: 3n, T: 4n, P: 5n } as const;
type Prefix = keyof typeof BINARY;
const PREFIXES = ['K', 'M', 'G', 'T', 'P'] as const;

/** 2^63 - 1: the largest file offset. Nothing that we count is larger. */
const BYTES_MAX = (1n << 63n) - 1n;
const DIGITS_MAX = 19;

const HINT = 'Write a count of bytes, or a number with a unit: 512MiB, 10GiB, 1.5T.';

function invalid(text: string, why: string): AurochsError {
  const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text;
  return new AurochsError('INVALID_ARGUMENT', `size ${JSON.stringify(shown)}: ${why}`, HINT);
}

function unitBytes(prefix: string, suffix: string): bigint {
  if (prefix === '') return 1n;
  const power = BINARY[prefix.toUpperCase() as Prefix];
  // "10GB" is decimal; "10G" and "10GiB" are binary, as qemu-img, truncate and LVM read "10G".
  return suffix.toLowerCase() === 'b' ? 1000n ** power : 1024n ** power;
}

/** Parses a size exactly: what does not come out as a whole number of bytes is refused. */
export function parseSize(text: string): bigint {
  const match = /^\s*(\d+)(?:\.(\d+))?\s*(?:([kmgtp])(ib|b)?|b|bytes)?\s*$/i.exec(text);
  if (match === null) throw invalid(text, 'not a size');
  const [, whole = '', fraction = '', prefix = '', suffix = ''] = match;
  if (whole.length + fraction.length > DIGITS_MAX) throw invalid(text, 'too many digits');

  const unit = unitBytes(prefix, suffix);
  const scale = 10n ** BigInt(fraction.length);
  const scaled = BigInt(whole + fraction) * unit;
  if (scaled % scale !== 0n) throw invalid(text, 'not a whole number of bytes');
  const bytes = scaled / scale;
  if (bytes > BYTES_MAX) throw invalid(text, 'larger than 8 EiB');
  return bytes;
}

/** The largest binary unit that says it exactly with at most three decimals: "10GiB", "1.5TiB", "4097B". */
export function formatSizeExact(bytes: bigint): string {
  for (const prefix of [...PREFIXES].reverse()) {
    const unit = 1024n ** BINARY[prefix];
    if (bytes < unit || (bytes * 1000n) % unit !== 0n) continue;
    const thousandths = (bytes * 1000n) / unit;
    const fraction = String(thousandths % 1000n)
      .padStart(3, '0')
      .replace(/0+$/, '');
    return `${thousandths / 1000n}${fraction === '' ? '' : `.${fraction}`}${prefix}iB`;
  }
  return `${bytes}B`;
}

/** For a column of a table: three significant digits, rounded down, so that "free" never promises too much. */
export function formatSize(bytes: bigint): string {
  for (const prefix of [...PREFIXES].reverse()) {
    const unit = 1024n ** BINARY[prefix];
    if (bytes < unit) continue;
    const hundredths = (bytes * 100n) / unit;
    const whole = hundredths / 100n;
    const decimals = whole >= 100n ? 0 : whole >= 10n ? 1 : 2;
    const fraction = String(hundredths % 100n)
      .padStart(2, '0')
      .slice(0, decimals)
      .replace(/0+$/, '');
    return `${whole}${fraction === '' ? '' : `.${fraction}`}${prefix}iB`;
  }
  return `${bytes}B`;
}
