/**
 * The calls of the node service, with the agent killed at every program that they run. What kills the driver, and what
 * the controller's calls do, needs no devices: test/integration/csi-kill.test.ts.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';

import { CsiNode, type NewVolume, type Use } from './support/csi-node.js';
import { eventually } from './support/devices.js';
import { note } from './support/messages.js';
import { ProgramTrap } from './support/program-trap.js';
import { allTraces } from './support/traces.js';

const MIB = 1024 * 1024;
const SIZE_BYTES = 64 * MIB;
const LARGER_BYTES = 96 * MIB;
const MARKER = 'what was written before';
/** What changes the machine, and filefrag, which runs while a format is written. */
const PROGRAMS = [
  ...['mkdir', 'mkfs.ext4', 'filefrag', 'fallocate', 'cryptsetup'],
  ...['e2fsck', 'mount', 'umount', 'resize2fs'],
];

const PLAIN: NewVolume & Use = { sizeBytes: SIZE_BYTES };
const ENCRYPTED: NewVolume & Use = {
  sizeBytes: SIZE_BYTES,
  parameters: { encrypted: 'true' },
  // Cheap to derive, as the machine is emulated.
  secrets: { CRYPTO_KEY_VALUE: 'correct horse battery staple', CRYPTO_PBKDF: 'pbkdf2' },
};

interface Case {
  volume: NewVolume & Use;
  /** From a volume that is published to this node to one for which the call is next. */
  prepare?: () => Promise<unknown>;
  /** Whether `prepare` has written the file. */
  isWritten: boolean;
  call: () => Promise<unknown>;
  /** What it runs of PROGRAMS, in this order. */
  programs: readonly string[];
  /** What the machine shows when it has ended well. */
  isDone: () => boolean;
}

describe('a call of the CSI node service whose agent is killed', function () {
  this.timeout(1_800_000);
  this.bail(true); // The next call would find what a failed one has left.
  const trap = new ProgramTrap('/run/trap');
  const node = new CsiNode(trap.environment);
  const file = `${node.target('v', 'a')}/file`;

  before(async () => {
    await trap.install(PROGRAMS);
    await node.start();
  });
  after(() => node.stop());

  const stageOf = (volume: Use) => () => node.stage('v', volume);
  const mountOf = (volume: Use) => async () => {
    await node.stage('v', volume);
    await node.mount('v', 'a', volume);
    writeFileSync(file, MARKER, { flush: true });
  };

  const isMounted = (path: string) => () =>
    readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `);
  const isStaged = isMounted(node.staging('v'));
  const isPublished = isMounted(node.target('v', 'a'));

  const CASES: Record<string, Case> = {
    NodeStageVolume: {
      volume: PLAIN,
      isWritten: false,
      call: stageOf(PLAIN),
      programs: ['mkdir', 'mkfs.ext4', 'filefrag', 'fallocate', 'mount', 'resize2fs'],
      isDone: isStaged,
    },
    'NodeStageVolume with a file system': {
      volume: PLAIN,
      prepare: async () => {
        await mountOf(PLAIN)();
        await node.unmount('v', 'a');
        await node.unstage('v');
      },
      isWritten: true,
      call: stageOf(PLAIN),
      programs: ['mkdir', 'e2fsck', 'mount', 'resize2fs'],
      isDone: isStaged,
    },
    'NodeStageVolume with encryption': {
      volume: ENCRYPTED,
      isWritten: false,
      call: stageOf(ENCRYPTED),
      programs: [
        ...['mkdir', 'cryptsetup luksFormat', 'filefrag', 'cryptsetup open', 'mkfs.ext4'],
        ...['cryptsetup config', 'mount', 'resize2fs'],
      ],
      isDone: isStaged,
    },
    NodePublishVolume: {
      volume: PLAIN,
      prepare: stageOf(PLAIN),
      isWritten: false,
      call: () => node.mount('v', 'a'),
      programs: ['mkdir', 'mount'],
      isDone: isPublished,
    },
    NodeExpandVolume: {
      volume: ENCRYPTED,
      prepare: async () => {
        await mountOf(ENCRYPTED)();
        await node.expandVolume('v', LARGER_BYTES);
      },
      isWritten: true,
      call: () => node.expandMounted('v', 'a', LARGER_BYTES),
      programs: ['cryptsetup resize', 'resize2fs'],
      // Before, it had less than SIZE_BYTES; LUKS takes 16 MiB.
      isDone: () => {
        const { blocks, bsize } = statfsSync(node.target('v', 'a'));
        return blocks * bsize > SIZE_BYTES;
      },
    },
    NodeUnpublishVolume: {
      volume: PLAIN,
      prepare: mountOf(PLAIN),
      isWritten: true,
      call: () => node.unmount('v', 'a'),
      programs: ['umount'],
      isDone: () => !isPublished(),
    },
    NodeUnstageVolume: {
      volume: ENCRYPTED,
      prepare: async () => {
        await mountOf(ENCRYPTED)();
        await node.unmount('v', 'a');
      },
      isWritten: true,
      call: () => node.unstage('v'),
      programs: ['umount', 'cryptsetup close'],
      isDone: () => !isStaged() && !existsSync('/dev/mapper/aurochs-v'),
    },
  };

  for (const [name, each] of Object.entries(CASES)) {
    it(`ends ${name} when it is repeated, whichever program ran at the kill`, async () => {
      const killedAt: string[] = [];
      for (;;) {
        const program = await killedAtProgram(killedAt.length + 1, each);
        if (program === null) break;
        note(`${name}: killed when ${program} ran`);
        killedAt.push(program);
      }
      assert.deepEqual(killedAt, each.programs);
    });
  }

  it('leaves nothing behind', async () => {
    assert.deepEqual(await node.agent.api.volumes(), []);
    assert.deepEqual(await allTraces(node.agent.dataDirectory, node.directory), []);
    assert.doesNotMatch(node.driver.log + node.agent.log, /CHECK failed|fault of ours/);
  });

  /** The program; null when the call runs fewer. */
  async function killedAtProgram(
    count: number,
    { volume, prepare, isWritten, call, isDone }: Case,
  ): Promise<string | null> {
    await node.create('v', volume);
    await node.publish('v', volume);
    await prepare?.();

    trap.set(count, node.agent.pid);
    let hasEnded = false;
    const first = call().finally(() => (hasEnded = true));
    first.catch(() => {}); // Until it is awaited.
    await eventually('it ends, or is killed', () =>
      hasEnded || trap.struck !== null ? true : undefined,
    );
    trap.disarm();
    const program = trap.struck;
    if (program !== null) await node.restartAgent();
    const answer = await first;
    assert.ok(isDone(), `killed when ${program} ran, it answered too early`);
    assert.deepEqual(await call(), answer, 'the same answer every time');

    await node.stage('v', volume);
    await node.mount('v', 'a', volume);
    if (isWritten) assert.equal(readFileSync(file, 'utf8'), MARKER);
    await node.takeAway('v', 'a');
    assert.deepEqual(await allTraces(node.agent.dataDirectory, node.directory), []);
    return program;
  }
});
