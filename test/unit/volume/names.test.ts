import { strict as assert } from 'node:assert';
import { hasCode } from '../../../src/core/errors.js';
import {
  checkChap,
  checkInitiators,
  checkSnapshotName,
  checkVolumeName,
  targetName,
  isPlainPath,
} from '../../../src/volume/names.js';
import { NEXT_STATE, moveTo } from '../../../src/volume/volume-state.js';
import type { VolumeState } from '../../../src/volume/model.js';
import { sampleVolume } from '../../support/store-conformance.js';

const invalid = (error: unknown): boolean => hasCode(error, 'INVALID_ARGUMENT');

describe('volume names', () => {
  for (const name of ['a', 'db', 'pvc-0f3c', '0', 'a'.repeat(63)]) {
    it(`takes ${name}`, () => checkVolumeName(name));
  }
  const bad = ['', 'A', 'a_b', '-a', 'a-', 'a.b', 'a'.repeat(64), '../x', 'a b', 'ä', 'a\n', 'a\0'];
  for (const name of bad) {
    it(`refuses ${JSON.stringify(name)}`, () =>
      assert.throws(() => checkVolumeName(name), invalid));
  }
  it('make a target name that fits RFC 7143', () => {
    assert.equal(targetName('db'), 'iqn.2026-11.io.aurochs:db');
    assert.ok(targetName('a'.repeat(63)).length <= 223);
  });
});

describe('snapshot names', () => {
  for (const name of ['s1', 'snap-20261122t191000z', 'a.b_c']) {
    it(`takes ${name}`, () => checkSnapshotName(name));
  }
  for (const name of [
    '',
    '.a',
    'A',
    'a/b',
    'a'.repeat(64),
    '0f3c2d1e-0000-4000-8000-000000000000',
  ]) {
    it(`refuses ${JSON.stringify(name)}`, () =>
      assert.throws(() => checkSnapshotName(name), invalid));
  }
});

describe('initiators', () => {
  it('takes iqn, eui and naa names', () =>
    checkInitiators([
      'iqn.1993-08.org.debian:01:6f2d5a3c8b1e',
      'iqn.2010-10.org.example',
      'eui.02004567A425678D',
      'naa.52004567BA64678D',
    ]));
  for (const name of ['', 'debian', 'iqn.debian', 'iqn.1993-08.org.debian:a b', 'eui.12']) {
    it(`refuses ${JSON.stringify(name)}`, () =>
      assert.throws(() => checkInitiators([name]), invalid));
  }
  it('takes no more than a volume may have', () => {
    const many = Array.from({ length: 65 }, () => 'iqn.2010-10.org.example');
    assert.throws(
      () => checkInitiators(many),
      (error) => hasCode(error, 'LIMIT_EXCEEDED'),
    );
  });
});

describe('CHAP settings', () => {
  const good = { user: 'u', secret: 'twelve bytes' };
  it('takes a secret of twelve bytes', () => checkChap(good));
  it('refuses a shorter one, and does not repeat it', () => {
    assert.throws(
      () => checkChap({ ...good, secret: 'hush-hush' }),
      (error) => invalid(error) && !String(error).includes('hush'),
    );
  });
  it('refuses half of a mutual pair', () =>
    assert.throws(() => checkChap({ ...good, mutualUser: 'm' }), invalid));
  it('refuses the same secret for both directions', () =>
    assert.throws(
      () => checkChap({ ...good, mutualUser: 'm', mutualSecret: good.secret }),
      /both directions/,
    ));
});

describe('plain paths', () => {
  it('begin with a slash and end with a name', () => {
    assert.ok(['/a', '/a/b.c', '/..a/...'].every(isPlainPath));
  });
  for (const path of ['', '/', 'a', '/a/', '/a//b', '/a/.', '/a/../b', '/a\0']) {
    it(`are not ${JSON.stringify(path)}`, () => assert.equal(isPlainPath(path), false));
  }
});

describe('volume states', () => {
  const states = Object.keys(NEXT_STATE) as VolumeState[];
  for (const from of states) {
    for (const to of states) {
      if (from === to) continue;
      const allowed = NEXT_STATE[from].includes(to);
      it(`${allowed ? 'may' : 'may not'} go from ${from} to ${to}`, () => {
        const volume = sampleVolume('db', { state: from });
        if (allowed) assert.equal(moveTo(volume, to).state, to);
        else assert.throws(() => moveTo(volume, to), /broken invariant/);
      });
    }
  }
});
