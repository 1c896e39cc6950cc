import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { AurochsError } from '../../../src/core/errors.js';
import { hasCode } from '../../../src/core/errors.js';
import { isWithin, newSize, sizeRangeOf } from '../../../src/csi/requests.js';
import {
  ABOUT,
  firstDifference,
  labelsOf,
  PARAMETER_NAMES,
  PARAMETERS,
  parseMutable,
  parseParameters,
  settingsOf,
} from '../../../src/csi/parameters.js';
import { checkLabels } from '../../../src/volume/labels.js';
import { Random } from '../../support/random.js';
import { read } from '../../support/repository.js';

const { seed } = Random.fromEnvironment();

function refuses(work: () => unknown, message: RegExp): void {
  assert.throws(work, (error: unknown) => {
    assert.ok(hasCode(error, 'INVALID_ARGUMENT'));
    const { message: text, hint } = error as AurochsError;
    assert.match(`${text} ${hint}`, message);
    return true;
  });
}

describe('csi: parameters of a storage class', () => {
  const GOOD: Record<string, [string, string][]> = {
    numberOfReplicas: [
      ['03', '3'],
      ['1', '1'],
    ],
    staleReplicaTimeout: [
      ['0', '0'],
      ['2880', '2880'],
    ],
    dataLocality: [['strict-local', 'strict-local']],
    diskSelector: [
      ['ssd, fast,ssd', 'fast,ssd'],
      ['', ''],
    ],
    nodeSelector: [['a.b_c-d', 'a.b_c-d']],
    fsType: [['xfs', 'xfs']],
    mkfsParams: [
      ['-i   8192 -O ^has_journal', '-i 8192 -O ^has_journal'],
      ['', ''],
    ],
    replicaSoftAntiAffinity: [['enabled', 'enabled']],
    encrypted: [['true', 'true']],
    frontend: [['nbd', 'nbd']],
    dataEngine: [['v1', 'v1']],
  };
  const BAD: Record<string, string[]> = {
    numberOfReplicas: ['0', '21', '-1', '1.5', 'three', '', '1e1'],
    staleReplicaTimeout: ['-1', 'x', '999999999'],
    dataLocality: ['', 'Disabled', 'local'],
    diskSelector: ['a,,b', 'a b', '-a', ',', 'a'.repeat(64)],
    nodeSelector: ['ä'],
    fsType: ['', 'btrfs', 'EXT4'],
    mkfsParams: ['ext4', '-K; rm', '-E $(id)', '-a '.repeat(33), `-${'x'.repeat(300)}`],
    replicaZoneSoftAntiAffinity: ['true'],
    replicaDiskSoftAntiAffinity: [''],
    encrypted: ['yes', 'True', '1', ''],
    frontend: ['blockdev'],
    dataEngine: ['v2'],
  };

  for (const [key, cases] of Object.entries(GOOD)) {
    it(`takes ${key} in its one form`, () => {
      for (const [value, normal] of cases) {
        const { settings } = parseParameters({ [key]: value });
        assert.equal(settings[key as keyof typeof PARAMETERS], normal);
      }
    });
  }

  for (const [key, values] of Object.entries(BAD)) {
    it(`refuses what ${key} cannot be, and says what it can`, () => {
      for (const value of values) {
        const expected = PARAMETERS[key as keyof typeof PARAMETERS].expected;
        refuses(() => parseParameters({ [key]: value }), new RegExp(`${key}.*Use ${expected}`));
      }
    });
  }

  it('names an unknown key and the known ones', () => {
    for (const key of ['colour', 'numberofreplicas', 'constructor', '__proto__', 'toString']) {
      const parameters = JSON.parse(`{${JSON.stringify(key)}: "x"}`) as Record<string, string>;
      refuses(() => parseParameters(parameters), new RegExp(`${key}.*numberOfReplicas`));
    }
  });

  it('takes what Kubernetes adds, and keeps whose volume it is in labels', () => {
    const { about, settings } = parseParameters({
      'csi.storage.k8s.io/pv/name': 'pvc-1',
      'csi.storage.k8s.io/pvc/name': 'data',
      'csi.storage.k8s.io/pvc/namespace': 'shop',
      'csi.storage.k8s.io/fstype': 'xfs',
    });
    assert.deepEqual(Object.values(about), ['pvc-1', 'data', 'shop']);
    assert.equal(settings.fsType, 'xfs');
    const both = { fsType: 'ext4', 'csi.storage.k8s.io/fstype': 'xfs' };
    refuses(() => parseParameters(both), /contradicts/);
    parseParameters({ fsType: 'xfs', 'csi.storage.k8s.io/fstype': 'xfs' });
  });

  it('comes back out of the labels as it went in', () => {
    const { settings } = parseParameters({
      fsType: 'xfs',
      mkfsParams: '-K',
      dataLocality: 'best-effort',
    });
    const labels = labelsOf(settings);
    checkLabels(labels);
    assert.deepEqual(settingsOf(labels), settings);
    assert.equal(firstDifference(labels, settings), null);
    assert.equal(firstDifference(labels, { ...settings, mkfsParams: '' }), 'mkfsParams');
    assert.equal(firstDifference(labels, { ...settings, dataLocality: 'disabled' }), null);
  });

  it('lets no mutable parameter touch a label of the driver’s own', () => {
    refuses(() => parseMutable({ 'label/csi.aurochs.io/name': 'x' }), /own/);
    assert.deepEqual(parseMutable({ 'label/team': 'red' }), { team: 'red' });
  });

  it('is in the documentation, each with its default', () => {
    const rows = read('docs/csi-support.md')
      .split('\n')
      .filter((line) => line.startsWith('| `'));
    for (const name of PARAMETER_NAMES) {
      const { initial, mutable } = PARAMETERS[name];
      const row = rows.find((line) => line.startsWith(`| \`${name}\``)) ?? '';
      assert.ok(
        row.includes(initial === '' ? '| none |' : `| \`${initial}\` |`),
        `${name}: ${row}`,
      );
      assert.equal(row.includes('mutable'), mutable, `${name}: ${row}`);
    }
    for (const key of Object.keys(ABOUT)) assert.ok(read('docs/csi-support.md').includes(key), key);
  });
});

describe('csi: sizes', () => {
  it('are within what is asked for, whole blocks, and never smaller than the source', () => {
    console.log(`      seed ${seed}`);
    const bytes = fc.bigInt({ min: 0n, max: 1n << 50n });
    fc.assert(
      fc.property(bytes, bytes, fc.option(bytes), (requiredBytes, limitBytes, source) => {
        const sourceBytes = source === null ? null : (source / 4096n + 256n) * 4096n;
        const range = { requiredBytes: String(requiredBytes), limitBytes: String(limitBytes) };
        let size: bigint;
        try {
          const wanted = sizeRangeOf(range);
          size = newSize(wanted, sourceBytes);
          assert.ok(isWithin(size, wanted));
        } catch (error) {
          assert.ok(hasCode(error, 'OUT_OF_RANGE'), String(error));
          return;
        }
        assert.equal(size % 4096n, 0n);
        assert.ok(size >= 1n << 20n);
        if (sourceBytes !== null) assert.ok(size >= sourceBytes);
      }),
      { seed },
    );
  });
});
