/** Volumes as SCSI disks: through open-iscsi and the kernel's iscsi_tcp. */
import { AurochsError, hasCode } from '../core/errors.js';
import { KeyedMutex } from '../core/keyed-mutex.js';
import {
  DEVICE_APPEARS_DEADLINE_MS,
  DEVICE_GONE_DEADLINE_MS,
  SCSI_REQUEST_TIMEOUT_S,
  SESSION_RECOVERY_DEADLINE_MS,
} from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import { targetName } from '../volume/names.js';
import type { DeviceRequest } from '../volume/ports.js';
import type { BlockDevices } from './block-devices.js';
import type { DeviceKind, MadeDevice, Obstacle } from './device-kind.js';
import type { Host } from './host-namespaces.js';
import { IscsiRecords, recordSettings } from './iscsi-record.js';
import { type IscsiSession, IscsiSessions, LUN } from './iscsi-sessions.js';
import { Iscsiadm } from './iscsiadm.js';
import { initiatorListens, ISCSID_START_HINT, OPEN_ISCSI_INSTALL_HINT } from './iscsid.js';
import { ensureModule, moduleObstacle } from './kernel-modules.js';
import type { Machine } from './machine.js';
import { refuseMultipath } from './multipath.js';
import { pollUntil, pollUntilTrue } from './poll.js';
import { connectAddress } from './portal-address.js';

/** Our target has one portal group; the record says so, so that iscsiadm keeps its file under this name. */
const PORTAL_GROUP = 1;

const VENDOR = 'AUROCHS';

/** The serial number follows the header of the vital product data page (SPC-4, 7.8.14). */
const VPD_HEADER_BYTES = 4;

export class IscsiDevices implements DeviceKind {
  readonly #iscsiadm: Iscsiadm;
  readonly #records: IscsiRecords;
  readonly #sessions: IscsiSessions;

  constructor(
    private readonly host: Host,
    private readonly machine: Machine,
    private readonly blocks: BlockDevices,
    private readonly logger: Logger,
  ) {
    this.#iscsiadm = new Iscsiadm(host, new KeyedMutex());
    this.#records = new IscsiRecords(host);
    this.#sessions = new IscsiSessions(blocks.sysfs);
  }

  async obstacle(): Promise<Obstacle | null> {
    const noModule = await moduleObstacle(this.machine, this.host, 'iscsi_tcp');
    if (noModule !== null) return noModule;
    if ((await this.machine.findProgram('iscsiadm')) === null) {
      const message = 'iscsiadm is not installed';
      return { code: 'UNSUPPORTED', message, hint: OPEN_ISCSI_INSTALL_HINT };
    }
    if (!(await initiatorListens(this.machine, this.host.processFile('net/unix')))) {
      const hint = `Start it: ${ISCSID_START_HINT}`;
      return { code: 'UNAVAILABLE', message: 'iscsid does not run', hint };
    }
    return null;
  }

  async find(volume: string): Promise<string | null> {
    for (const session of await this.#sessions.ofTarget(targetName(volume))) {
      const disk = await this.#sessions.disk(session);
      if (disk !== null) return disk;
    }
    return null;
  }

  async attach(request: DeviceRequest): Promise<MadeDevice> {
    const obstacle = await this.obstacle();
    if (obstacle !== null) {
      const message = `volume ${request.volume}: ${obstacle.message}`;
      throw new AurochsError(obstacle.code, message, obstacle.hint);
    }
    await ensureModule(this.machine, this.host, 'sd_mod'); // udev loads it too, where there is one.
    const portal = await connectAddress(request.from.address);
    const existing = await this.#existing(request.volume, portal);
    if (existing !== null) {
      return { name: await this.#checkedDisk(existing, request), created: false };
    }
    try {
      const session = await this.#login(request, portal);
      return { name: await this.#checkedDisk(session, request), created: true };
    } catch (error) {
      await this.remove(request.volume).catch((undoError: unknown) => {
        this.logger.warn('a failed attach could not be undone', {
          volume: request.volume,
          error: String(undoError),
        });
      });
      throw error;
    }
  }

  async remove(volume: string): Promise<void> {
    const target = targetName(volume);
    for (const session of await this.#sessions.ofTarget(target)) {
      await this.#logout(session);
    }
    if (await this.#records.exist(target)) {
      await this.#records.removeBroken(target);
      await this.#iscsiadm.deleteRecords(target);
      await this.#records.remove(target);
    }
  }

  /** The unit tells its size when asked; nobody asks by himself. */
  async resize(_volume: string, name: string): Promise<void> {
    await this.blocks.sysfs.write(`/sys/block/${name}/device/rescan`, '1');
  }

  /** A session of before, unless it leads to where the volume is no longer offered and nobody uses it. */
  async #existing(volume: string, portal: string): Promise<IscsiSession | null> {
    const sessions = await this.#sessions.ofTarget(targetName(volume));
    const [session] = sessions;
    if (session === undefined || session.portal === portal) return session ?? null;
    const disk = await this.#sessions.disk(session);
    if (disk !== null && (await this.blocks.isClaimed(disk))) {
      throw new AurochsError(
        'FAILED_PRECONDITION',
        `volume ${volume}: /dev/${disk} is in use and connected to ${session.portal}, but the volume is offered at ${portal}`,
        `Start the agent with --iscsi-portal ${session.portal} again, or unmount and detach the device first.`,
      );
    }
    await this.#logout(session);
    return null;
  }

  async #login(request: DeviceRequest, portal: string): Promise<IscsiSession> {
    const target = targetName(request.volume);
    const settings = recordSettings(request.volume, request.chap);
    await this.remove(request.volume); // What an interrupted attach or detach has left.
    await this.#iscsiadm.createRecord(target, `${portal},${PORTAL_GROUP}`);
    await this.#records.write(target, settings);
    try {
      await this.#iscsiadm.login(target, `${portal},${PORTAL_GROUP}`);
    } catch (error) {
      // iscsid has one exit code for a target that is not there and for one that fails to prove itself; and the
      // volume is offered, or nobody would ask for its device.
      const mutual = request.chap?.mutualSecret !== undefined;
      if (!mutual || !hasCode(error, 'FAILED_PRECONDITION')) throw error;
      throw new AurochsError(
        'PERMISSION_DENIED',
        `${target}: the target did not prove that it knows the mutual CHAP secret`,
        `Somebody else may answer at ${portal}; or set it anew: aurochs volume set ${request.volume} --help`,
        { cause: error },
      );
    }
    const [session] = await this.#sessions.ofTarget(target);
    if (session !== undefined) return session;
    throw new AurochsError(
      'UNAVAILABLE',
      `${target}: the session ended right after the login`,
      'See journalctl -u iscsid and the log of the agent.',
    );
  }

  async #checkedDisk(session: IscsiSession, request: DeviceRequest): Promise<string> {
    await this.#waitLoggedIn(session);
    const name = await this.#disk(session);
    await this.#verifyIdentity(name, request);
    await this.#verifySize(name, request);
    const holders = await this.blocks.holders(name);
    await refuseMultipath(request.volume, name, holders, this.machine, this.host);
    const timeout = `/sys/block/${name}/device/timeout`;
    await this.blocks.sysfs.write(timeout, String(SCSI_REQUEST_TIMEOUT_S));
    return name;
  }

  /** After a restart of the agent iscsid logs in again by itself. */
  async #waitLoggedIn({ target, id }: IscsiSession): Promise<void> {
    const back = await pollUntilTrue(SESSION_RECOVERY_DEADLINE_MS, async () => {
      const now = (await this.#sessions.ofTarget(target)).find((session) => session.id === id);
      return now?.state === 'LOGGED_IN';
    });
    if (back) return;
    throw new AurochsError(
      'UNAVAILABLE',
      `${target}: the session has not come back within ${SESSION_RECOVERY_DEADLINE_MS / 1000} s`,
      'iscsid keeps trying. If the CHAP secret or the portal has changed since, unmount and detach, then attach again.',
    );
  }

  async #disk(session: IscsiSession): Promise<string> {
    const known = await this.#sessions.disk(session);
    if (known === null) await this.#sessions.scan(session);
    const name = await pollUntil(DEVICE_APPEARS_DEADLINE_MS, async () => {
      const disk = await this.#sessions.disk(session);
      return disk !== null && (await this.blocks.nodeExists(disk)) ? disk : null;
    });
    if (name !== null) return name;
    throw new AurochsError(
      'UNAVAILABLE',
      `${session.target}: logged in, but no disk (LUN ${LUN}) appeared within ${DEVICE_APPEARS_DEADLINE_MS / 1000} s`,
      'Is udev or devtmpfs there? See the end of dmesg and the log of the agent.',
    );
  }

  async #verifyIdentity(name: string, { volume, serial }: DeviceRequest): Promise<void> {
    const device = `/sys/block/${name}/device`;
    const vendor = await this.blocks.sysfs.read(`${device}/vendor`);
    const page = await this.blocks.sysfs.readBytes(`${device}/vpd_pg80`);
    const found = page?.subarray(VPD_HEADER_BYTES).toString('latin1').replace(/\0/g, '').trim();
    if (vendor === VENDOR && found === serial) return;
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${volume}: /dev/${name} is ${vendor ?? 'unknown'} ${found ?? '?'}, not ${VENDOR} ${serial}`,
      'It belongs to another volume that had this name. Unmount and detach it, then attach again.',
    );
  }

  async #verifySize(name: string, { volume, sizeBytes }: DeviceRequest): Promise<void> {
    if ((await this.blocks.sizeBytes(name)) !== sizeBytes) await this.resize(volume, name);
    const found = await pollUntilTrue(
      DEVICE_APPEARS_DEADLINE_MS,
      async () => (await this.blocks.sizeBytes(name)) === sizeBytes,
    );
    if (found) return;
    throw new AurochsError(
      'FAILED_PRECONDITION',
      `volume ${volume}: /dev/${name} has ${await this.blocks.sizeBytes(name)} bytes, the volume ${sizeBytes}`,
      'See the end of dmesg and the log of the agent; then detach and attach again.',
    );
  }

  async #logout(session: IscsiSession): Promise<void> {
    await this.#iscsiadm.logout(session.target, session.id);
    const gone = await pollUntilTrue(DEVICE_GONE_DEADLINE_MS, async () => {
      const left = await this.#sessions.ofTarget(session.target);
      return left.every(({ id }) => id !== session.id);
    });
    if (gone) return;
    throw new AurochsError(
      'BUSY',
      `${session.target}: session ${session.id} is still there ${DEVICE_GONE_DEADLINE_MS / 1000} s after the logout`,
      'A process still uses the device (fuser -vm); end it and repeat.',
    );
  }
}
