/** The secrets of an encrypted volume, by the names that Longhorn's users know. No message repeats a value. */
import type { VolumeStageBody } from '../api/types.js';
import { AurochsError } from '../core/errors.js';
import type { StringMap } from './parameters.js';

type Encryption = NonNullable<VolumeStageBody['encryption']>;
const PBKDFS = ['argon2id', 'argon2i', 'pbkdf2'] as const satisfies readonly Encryption['pbkdf'][];
const KEY_BITS_MAX = 8192;

export function encryptionOf(secrets: StringMap): Encryption {
  const said = (key: string): string => (Object.hasOwn(secrets, key) ? (secrets[key] ?? '') : '');
  const passphrase = said('CRYPTO_KEY_VALUE');
  if (passphrase === '') {
    throw unusable('CRYPTO_KEY_VALUE', 'the passphrase, which an encrypted volume needs');
  }
  const provider = said('CRYPTO_KEY_PROVIDER');
  if (provider !== '' && provider !== 'secret') throw unusable('CRYPTO_KEY_PROVIDER', 'secret');
  const hash = said('CRYPTO_KEY_HASH');
  if (hash !== '' && hash !== 'sha256') throw unusable('CRYPTO_KEY_HASH', 'sha256');
  const cipher = said('CRYPTO_KEY_CIPHER');
  if (!/^[a-z0-9:-]{0,64}$/.test(cipher)) throw unusable('CRYPTO_KEY_CIPHER', 'aes-xts-plain64');
  const size = said('CRYPTO_KEY_SIZE');
  const keySizeBits = /^\d{1,5}$/.test(size) ? Number(size) : 0;
  if (size !== '' && (keySizeBits < 1 || keySizeBits > KEY_BITS_MAX)) {
    throw unusable('CRYPTO_KEY_SIZE', `a count of bits up to ${KEY_BITS_MAX}`);
  }
  const pbkdf = PBKDFS.find((each) => each === said('CRYPTO_PBKDF'));
  if (pbkdf === undefined && said('CRYPTO_PBKDF') !== '') {
    throw unusable('CRYPTO_PBKDF', PBKDFS.join(', '));
  }
  return {
    passphrase,
    ...(cipher === '' ? {} : { cipher }),
    ...(size === '' ? {} : { keySizeBits }),
    ...(pbkdf === undefined ? {} : { pbkdf }),
  };
}

function unusable(key: string, expected: string): AurochsError {
  return new AurochsError(
    'INVALID_ARGUMENT',
    `secret ${key} is missing or not usable`,
    `It is ${expected}.`,
  );
}
