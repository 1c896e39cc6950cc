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
export const MOUNT_POINT_CHARS_MAX = 1024; // PATH_MAX is 4096.
export const MOUNT_OPTIONS_MAX = 32;
export const MOUNT_OPTION_CHARS_MAX = 256;
export const LABELS_MAX = 64; // Of one volume: with the longest values they still fit into a record of the other stores.
export const LABEL_KEY_CHARS_MAX = 63;
export const LABEL_VALUE_CHARS_MAX = 256;
export const TAGS_MAX = 32; // Of one disk or node.
export const WORD_CHARS_MAX = 63; // A tag or a zone: what a label of Kubernetes may hold.
export const NODE_NAME_CHARS_MAX = 253; // A DNS name.
export const NODES_NAMED_MAX = 1024; // Nodes that one creation may be limited to.
export const PUBLICATIONS_MAX = 64; // Nodes that use one volume at once.
export const SNAPSHOT_GROUP_VOLUMES_MAX = 64; // All of them stand still at once.
export const SNAPSHOT_GROUPS_MAX = 10_000; // Of one store: the whole list is read for a list of snapshots.
export const FORMAT_OPTIONS_MAX = 32; // Arguments of mkfs.
export const FORMAT_OPTION_CHARS_MAX = 256;
export const PASSPHRASE_CHARS_MAX = 512; // What cryptsetup takes from a terminal; a key of 256 bits has 64 digits.
export const CIPHER_CHARS_MAX = 64; // "aes-xts-plain64", "capi:xts(aes)-plain64"
export const KEY_SIZE_BITS_MAX = 1024;
export const DISKS_MAX = 256;
export const DISK_PATH_CHARS_MAX = 1024; // PATH_MAX is 4096; names of replicas and layers follow.

// -- Reconciling
export const RECONCILES_PARALLEL = 16; // Volumes opened at the same time after a start.
export const RETRY_MIN_MS = 100;
export const RETRY_MAX_MS = 30_000; // A damaged volume is looked at twice a minute.
export const RESYNC_INTERVAL_MS = 60_000; // Every volume is looked at this often even without a cause.
export const DISK_PROBE_INTERVAL_MS = 60_000;
export const STEPS_PER_RECONCILE_MAX = 64; // A volume that has not settled by then waits its turn.

export const COPIES_PARALLEL = 4; // As native/base/limits.h has it: each keeps a thread busy.
export const COPIES_OF_VOLUME_PARALLEL = 2; // Likewise: they share the disk of their source.
/** Longest time that a group of snapshots holds writes back: taking one takes milliseconds, applications wait. */
export const GROUP_BARRIER_MS = 5_000;

/** How long a group waits for all its volumes: it keeps those that it has from everybody else, and a check of a file system takes an hour. */
export const EXCLUSIVE_OF_ALL_WAIT_MS = 5_000;

// -- Waiting on behalf of a user
export const USE_CASE_DEADLINE_MS = 60_000;
/** How long a creation waits for its copy before it answers that the copy goes on; callers time out after ten seconds or more. */
export const CREATE_COPY_WAIT_MS = 3_000;
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

// -- Devices and file systems of a node
/**
 * How long the kernel holds requests back while the agent does not answer at all, before they fail. There is one
 * path, so a failure has no other way to go: it turns file systems read-only and loses what they had not
 * written. An hour is long enough for a person to see and repair an agent that does not start.
 */
export const DEVICE_OUTAGE_S_MAX = 3600;
/** How long one SCSI request may take while the session lives; a disk below may stall that long. */
export const SCSI_REQUEST_TIMEOUT_S = 180;
/**
 * The kernel's NBD client sends what was in flight on a dead connection again only when each request has waited this
 * long (and up to a second more), however soon it is given a new connection. So this is how long an agent's
 * restart holds up an application at least. On a disk that stalls for longer a connection dies although the agent lives:
 * it gets a new one as soon as the agent has finished what came over the old one, and the requests are sent again.
 */
export const NBD_REQUEST_TIMEOUT_S = 3;
export const ISCSI_LOGIN_TIMEOUT_S = 10; // One attempt; our portal answers in milliseconds.
export const ISCSI_LOGIN_ATTEMPTS_MAX = 2; // At the first login; a broken session tries for DEVICE_OUTAGE_S_MAX.
export const ISCSI_NOOP_INTERVAL_S = 5; // A portal that answers nothing, not even NOPs, is noticed
export const ISCSI_NOOP_TIMEOUT_S = 15; // after 20 s; one that died closes its socket and is noticed at once.
export const ISCSIADM_TIMEOUT_MS = 60_000; // More than both attempts to log in take.
export const ISCSIADM_ATTEMPTS_MAX = 5; // Of a call that says "try again".
export const ISCSIADM_RETRY_MS = 200; // Doubled by each attempt: 3 s in all.
export const ISCSIADM_LOCK_TIMEOUT_S = 45; // For the call of another process; less than ISCSIADM_TIMEOUT_MS.
export const DEVICE_APPEARS_DEADLINE_MS = 15_000; // After the login; udev of a busy machine takes seconds.
export const DEVICE_GONE_DEADLINE_MS = 15_000; // The kernel flushes it first.
export const SESSION_RECOVERY_DEADLINE_MS = 30_000; // iscsid logs in again every few seconds.
/**
 * One: a request that is sent again must not meet itself. Over a second connection, which lives, the kernel would
 * send it while the first copy may still be on its way to the disk, and that copy could land on newer data (W4).
 */
export const NBD_CONNECTIONS = 1;
export const FREEZE_DEADLINE_MS = 30_000; // A file system writes its dirty pages before it is still.
export const FREEZE_WATCHDOG_S = 10; // Longest stillness: a snapshot takes milliseconds, applications hang.
export const FORMAT_TIMEOUT_MS = 600_000; // mkfs of the largest volume writes some GiB of metadata.
export const CRYPTSETUP_TIMEOUT_MS = 300_000; // Deriving a key takes 2 s on an idle machine; closing waits for I/O.
/** Of one machine: argon2id takes up to 1 GiB, which the applications beside us need more. */
export const KEY_DERIVATIONS_PARALLEL = 1;
export const FORMATS_PARALLEL = 2; // Of one machine: an image of the largest volume has some GiB, in the data directory.
export const CHECK_TIMEOUT_MS = 3_600_000; // e2fsck of a damaged large file system reads all its metadata.
export const UNMOUNT_TIMEOUT_MS = 600_000; // Dirty pages of all the memory may have to be written.
export const TRIM_TIMEOUT_MS = 600_000;
export const BLANK_BYTES_CHECKED = 1024 * 1024; // Every file system and partition table begins within.

// -- CSI
export const CSI_NAME_BYTES_MAX = 128; // The specification's bound of a text field; names are such.
export const CSI_VOLUME_BYTES_DEFAULT = 1024n ** 3n; // When nobody asks for a size: thin, so it costs nothing.
/** Longer than any work of the agent's, so that a lock is held until the work has ended; a dead agent ends it at once. */
export const CSI_ANSWER_TIMEOUT_MS = 2 * (CHECK_TIMEOUT_MS + FORMAT_TIMEOUT_MS);
export const CSI_AGENT_CONNECTIONS_MAX = 64; // Requests to the agent at a time: a quarter of API_CONNECTIONS_MAX.
export const CSI_VOLUMES_ASKED_PARALLEL = 8; // For a list of snapshots; each may have to be opened.
export const CSI_BLOCKS_PER_MESSAGE_MAX = DIFF_RUNS_DEFAULT; // 1,024 of about 20 bytes; a message has at most 4 MiB.
export const CSI_MKFS_ARGUMENTS_MAX = 32;
export const CSI_MKFS_PARAMS_CHARS_MAX = LABEL_VALUE_CHARS_MAX; // It is kept in a label.
export const CSI_SOCKET_PATH_CHARS_MAX = 107; // sun_path, unix(7).
export const CSI_DRAIN_MS = SHUTDOWN_DEADLINE_MS / 2; // For calls at a stop; what they asked for goes on in the agent.
