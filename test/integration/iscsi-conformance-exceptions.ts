/**
 * What `iscsi-test-cu` may leave out or find fault with, and why. A run fails on anything else, and on an
 * entry that nothing needs any more.
 */
export interface Exception {
  /** The test ("Unmap.Simple") or suite ("Unmap"), where only it is excused. */
  test?: string;
  /** What the suite says: a skipped check's reason, or a failed assertion. */
  says: RegExp;
  reason: string;
}

// -- The suite asks for another unit than it was given; another run gives it that one.

export const NOT_REMOVABLE: readonly Exception[] = [
  { says: /^(Logical unit|Media) is not removable/, reason: 'asks for a removable unit' },
];

export const NOT_WRITE_PROTECTED: readonly Exception[] = [
  { says: /^Logical unit is not write-protected/, reason: 'asks for a write-protected unit' },
];

export const FULLY_PROVISIONED: readonly Exception[] = [
  { says: /^Logical unit is fully provisioned/, reason: 'asks for a thinly provisioned unit' },
  { test: 'Unmap.VPD', says: /^UNMAP is not implemented/, reason: 'asks for UNMAP' },
  {
    says: /^SANITIZE( BLOCK_ERASE| EXIT FAILURE MODE)? is not implemented/,
    reason: 'asks for BLOCK ERASE, which unmaps',
  },
];

export const ONE_PATH: readonly Exception[] = [
  { says: /^Multipath unavailable/, reason: 'asks for a second path' },
];

/** What the unit refuses, or does otherwise than the suite wants, by the standard: docs/scsi-support.md. */
export const BY_THE_STANDARD: readonly Exception[] = [
  {
    says: /^WRITEATOMIC16 is not implemented/,
    reason: 'SBC-4, 5.48: optional; after a power cut only single blocks of 4 KiB are whole',
  },
  {
    says: /^SANITIZE (OVERWRITE|CRYPTO_ERASE) is not implemented/,
    reason: 'SBC-3, 5.24: BLOCK ERASE is enough; snapshots would keep what is overwritten',
  },
  {
    says: /^WRITESAME1[06] does not support 0-blocks/,
    reason: 'SBC-3, 6.6.4: with WSNZ the length has to be named, and the test asks for the refusal',
  },
  {
    test: 'GetLBAStatus.UnmapSingle',
    says: /lba offset in first descriptor/,
    reason: 'SBC-3, 5.5.2.3: the first descriptor begins at the address that was asked for',
  },
];
