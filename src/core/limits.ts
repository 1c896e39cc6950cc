/** Every bound of the control plane, in one place, with its unit in the name and its reason beside it. */

const MIB = 1024n ** 2n;
const TIB = 1024n ** 4n;

// -- Volumes and snapshots. The first two mirror native/base/limits.h.
export const VOLUME_BYTES_MIN = 1n * MIB; // Room for any file system's super block.
export const VOLUME_BYTES_MAX = 64n * TIB; // 2^34 blocks of 4 KiB; a disk may hold less.
export const VOLUME_BYTES_MULTIPLE = 4096n; // The physical block.
export const VOLUME_NAME_CHARS_MAX = 63; // A DNS label; it becomes part of an IQN (223 bytes at most).
export const SNAPSHOT_NAME_CHARS_MAX = 63;
export const VOLUMES_MAX = 10_000; // Of one store: the whole list is read at a start.
export const INITIATORS_MAX = 64; // Allowed initiator names of one volume.
export const INITIATOR_NAME_CHARS_MAX = 223; // RFC 7143, 4.2.7.1.
export const CHAP_USER_CHARS_MAX = 255;
export const CHAP_SECRET_BYTES_MIN = 12; // RFC 7143, 9.2.1: no less than 96 bits.
export const CHAP_SECRET_BYTES_MAX = 256;
export const DISKS_MAX = 256;
export const DISK_PATH_CHARS_MAX = 1024; // PATH_MAX is 4096; names of replicas and layers follow.

// -- Reconciling
export const RECONCILES_PARALLEL = 16; // Volumes opened at the same time after a start.
export const RETRY_MIN_MS = 100;
export const RETRY_MAX_MS = 30_000; // A damaged volume is looked at twice a minute.
export const RESYNC_INTERVAL_MS = 60_000; // Every volume is looked at this often even without a cause.
export const DISK_PROBE_INTERVAL_MS = 60_000;
export const STEPS_PER_RECONCILE_MAX = 64; // A volume that has not settled by then waits its turn.

// -- Waiting on behalf of a user
export const USE_CASE_DEADLINE_MS = 60_000;
export const CONFLICT_RETRIES_MAX = 20; // Updates of one item that lost the race, in one use case.

// -- Store
export const STORE_WATCH_BACKLOG = 4096; // Changes kept for a watch that starts from an older revision.
export const STORE_WATCHES_MAX = 1024; // Every request that waits holds one, and there are API_CONNECTIONS_MAX.
export const STORE_BUSY_TIMEOUT_MS = 5_000;

// -- API
export const API_BODY_BYTES_MAX = 64 * 1024; // The largest body is a list of initiators: 15 KiB.
export const API_REQUEST_TIMEOUT_MS = 10_000; // To send the whole request; answers may take longer.
export const API_CONNECTIONS_MAX = 256;
export const API_PARAM_CHARS_MAX = 100; // A name (63) or an id (36) in a path.
export const API_EVENT_STREAMS_MAX = 64;
export const API_EVENT_BUFFER_BYTES_MAX = 1024 * 1024; // Of one client that does not read; then it is cut off.
export const API_EVENT_PING_MS = 15_000; // A comment line, so that a dead client is noticed.
export const DIFF_RUNS_MAX = 4096; // Of one page: about 300 KiB of JSON.
export const DIFF_RUNS_DEFAULT = 1024;

// -- Agent
export const SHUTDOWN_DEADLINE_MS = 10_000;
export const CONFIG_FILE_BYTES_MAX = 64 * 1024;
export const LOOPS_MAX = 64;
export const LISTENERS_MAX = 16;
