// Every bound in the data path, in one place, with its unit in the name and its reason beside it.
#pragma once

#include <cstdint>

#include "base/units.h"

namespace aurochs {

// -- Volumes and replicas
inline constexpr uint64_t kVolumeBytesMin = 1 * kMiB;   // room for any file system's super block
inline constexpr uint64_t kVolumeBytesMax = 64 * kTiB;  // 2^34 blocks; a disk may hold less
inline constexpr uint32_t kChainLayersMax = 4095;       // a block map entry keeps 12 bits for it
inline constexpr uint32_t kRegionBytes = 4 * kMiB;      // unit of the block map and intent log
inline constexpr uint32_t kReplicaMetaBytesMax = 4 * kMiB;  // 4,095 layers at under 1 KiB each
inline constexpr uint64_t kBlockMapBytesMax = 256 * kMiB;  // per volume; colder regions are dropped
inline constexpr uint32_t kLayerNumberMax = 999'999'999;   // of a replica's whole life; 9 digits
inline constexpr uint32_t kReplicaIdBytesMax = 64;         // a UUID takes 36
inline constexpr uint32_t kSnapshotNameBytesMax = 253;     // as long as a name in Kubernetes
inline constexpr uint64_t kUnixMsMax = 253'402'300'799'999;  // year 9999, the last of RFC 3339
inline constexpr uint32_t kMergeWatchersMax = 8192;          // who hear of the end of a merge
inline constexpr uint32_t kSnapshotCopiesMax = 2;  // at once, of one volume: they share its disk
inline constexpr uint32_t kHostSnapshotCopiesMax = 4;  // each keeps one of kBlockingThreadsMax busy
// What copies leave free on a file system, the larger of both: without a block left, the volumes in
// use there fail writes at once; with these, somebody hears of a full disk before they do.
inline constexpr uint64_t kCopyFreeBytesMin = 64 * kMiB;
inline constexpr uint32_t kCopyFreePercentMin = 1;
inline constexpr uint32_t kCopyProgressMsMin = 250;   // between two events of one copy
inline constexpr uint32_t kWriteHoldMsMax = 30'000;   // Linux gives up a SCSI command after so long
inline constexpr uint32_t kReplicaCommandsMax = 256;  // of one replica, waiting; then kBusy

// -- Requests
inline constexpr uint32_t kRequestBytesMax = 32 * kMiB;  // NBD read or write, one SCSI task
inline constexpr uint32_t kIovecsMax = 1024;             // UIO_MAXIOV
inline constexpr uint64_t kBufferPoolCachedBytesMax = 32 * kMiB;  // per loop; the rest is freed

// -- Event loops and worker threads
inline constexpr uint32_t kTransferThreadsMax = 16;  // file reads and writes that wait for a disk
inline constexpr uint32_t kSyncThreadsMax = 8;  // fdatasyncs; apart, or they would hold up writes
inline constexpr uint32_t kBlockingThreadsMax = 8;  // RunBlocking: metadata, merges, probes
inline constexpr uint32_t kWritesPerBatchMax = 16;  // writes of one file a worker takes at a time
inline constexpr uint32_t kWriteCallBytesMax = 32 * kKiB;  // of a file, see docs/performance.md
inline constexpr uint32_t kLoopWriteBytesMax = 64 * kKiB;  // longer writes are a worker's
inline constexpr uint32_t kLoopStallMs = 10;          // in a write; then a stand-in runs the loop
inline constexpr uint32_t kLoopStallPauseMs = 1000;   // after a stall, workers get all writes
inline constexpr uint32_t kLoopQuietPeriodsMax = 10;  // without a write; the stand-in goes to sleep
inline constexpr uint32_t kReadyEventsPerTurnMax = 256;  // the rest is still ready in the next turn
inline constexpr uint32_t kTurnEndRoundsMax = 8;    // tasks asking for each other in one turn's end
inline constexpr uint32_t kRingEntries = 256;       // submissions of one system call
inline constexpr uint32_t kRingFileOpsMax = 1024;   // in the kernel at once; the rest waits
inline constexpr uint32_t kRingCompletions = 8192;  // file operations and two polls per connection

// -- Listening sockets
inline constexpr uint32_t kAcceptsPerTurnMax = 32;  // then those who are connected have their turn
inline constexpr uint32_t kAcceptPauseMs = 100;     // after running out of descriptors or memory
inline constexpr uint32_t kListenBacklog = 1024;    // connections that wait to be accepted

// -- SCSI
inline constexpr uint64_t kUnmapBytesMax =
    512 * kMiB;                                        // of one UNMAP command: seconds, not minutes
inline constexpr uint32_t kUnmapDescriptorsMax = 256;  // ranges of one UNMAP command
inline constexpr uint64_t kWriteSameBytesMax = 256 * kMiB;  // it may have to write every byte
inline constexpr uint32_t kCompareAndWriteBlocksMax = 255;  // its length field has one byte
inline constexpr uint32_t kScsiChunkBytes = 1 * kMiB;  // step of commands longer than their data
inline constexpr uint32_t kLbaStatusDescriptorsMax = 255;  // of one GET LBA STATUS: 4 KiB of answer
inline constexpr uint32_t kCopyTargetsMax = 8;             // descriptors of one EXTENDED COPY
inline constexpr uint32_t kCopySegmentsMax = 64;           // at 32 MiB each
inline constexpr uint32_t kCopiesMax = 4;                 // at once, of one logical unit; then BUSY
inline constexpr uint32_t kCopyStatusesMax = 4;           // kept for one nexus
inline constexpr uint32_t kUnitStateBytesMax = 1 * kMiB;  // 256 registrations of 223-byte names
inline constexpr uint32_t kReservationRegistrationsMax = 256;  // of one logical unit
inline constexpr uint32_t kUnitAttentionsMax = 8;     // waiting for one nexus; then one for all
inline constexpr uint32_t kScsiTasksCachedMax = 128;  // idle contexts kept by a logical unit

// -- iSCSI
inline constexpr uint32_t kPduDataSegmentBytesMax =
    256 * kKiB;                                       // MaxRecvDataSegmentLength we declare
inline constexpr uint32_t kTasksPerSessionMax = 128;  // received and not answered
inline constexpr uint32_t kImmediateTasksMax = 8;     // of these, outside the CmdSN window
inline constexpr uint32_t kCommandWindow = kTasksPerSessionMax - kImmediateTasksMax;
inline constexpr uint32_t kTaskManagementOpenMax = 16;  // of one session: each waits for its tasks
inline constexpr uint32_t kFirstBurstBytesMax = 256 * kKiB;  // unsolicited data of one task
// Of one session: data that tasks wait for or send, unless it is one larger task's; what arrives
// unsolicited comes on top. More brings a disk no more, and one who does not read pins it.
inline constexpr uint64_t kTransferBytesMax = 8 * kMiB;
inline constexpr uint32_t kTextRequestBytesMax = 8 * kKiB;  // all text of one text request
inline constexpr uint32_t kTextOutputBytesMax =
    1 * kMiB;                                     // echoes and text an initiator leaves unread
inline constexpr uint32_t kPdusQueuedMax = 1024;  // of a connection; then it is not read
inline constexpr uint32_t kSendBatchBytesMax =
    1 * kMiB;  // formatted ahead of what the socket takes
inline constexpr uint32_t kSendBatchPdusMax = 256;
inline constexpr uint32_t kTargetNameBytesMax = 223;       // RFC 7143, 4.2.7.1
inline constexpr uint32_t kLoginTextBytesMax = 64 * kKiB;  // all text of one login request
inline constexpr uint32_t kLoginTimeoutMs = 15'000;        // a connection must log in by then
inline constexpr uint32_t kConnectionsMax = 1024;          // of one server, logged in or not
inline constexpr uint32_t kSessionsPerTargetMax = 64;
inline constexpr uint32_t kNopIdleMs = 15'000;     // silent for so long, an initiator is asked
inline constexpr uint32_t kNopTimeoutMs = 15'000;  // and given up if it does not answer
inline constexpr uint32_t kLogoutGraceMs = 1'000;  // between asking for a logout and closing

// -- NBD
inline constexpr uint32_t kNbdOptionBytesMax =
    64 * kKiB;                                   // option data of a client; names are 4 KiB
inline constexpr uint32_t kNbdOptionsMax = 256;  // of one handshake; who sends more is hostile
inline constexpr uint32_t kNbdExportNameBytesMax = 4096;  // proto.md, "Values"
inline constexpr uint32_t kNbdRequestsInFlightMax = 128;  // of one connection; then it is not read
// Of one connection, read ahead of a client that may not take it; more brings a disk no more.
inline constexpr uint64_t kNbdReadAheadBytesMax = 8 * kMiB;
inline constexpr uint32_t kNbdReceiveBufferBytes = 256 * kKiB;   // what one receive takes at most
inline constexpr uint32_t kNbdWriteInPlaceBytesMax = 64 * kKiB;  // longer data gets its own buffer
inline constexpr uint32_t kNbdBlockStatusExtentsMax =
    8000;  // of one reply, which fits into 128 KiB; the client asks on
inline constexpr uint32_t kNbdContextsSelectedMax =
    16;  // of one connection; one BLOCK_STATUS asks for all
inline constexpr uint32_t kNbdContextsListedMax = 256;  // snapshots in the answer to a wildcard
inline constexpr uint32_t kNbdContextQueriesMax = 256;  // of one option
inline constexpr uint64_t kNbdZerosWrittenBytesMax =
    4 * kGiB;  // of one request whose zeros take space: a compact request's most
inline constexpr uint32_t kNbdTlsUnsentBytesMax =
    256 * kKiB;                                        // encrypted and not taken by the peer
inline constexpr uint32_t kNbdDrainTimeoutMs = 5'000;  // for a peer to take answers before we close
inline constexpr uint32_t kHandshakeTimeoutMs = 15'000;

// -- The kernel's NBD client
inline constexpr uint32_t kKernelNbdConnectionsMax = 16;  // of one device: one for each processor
inline constexpr uint32_t kKernelNbdIndexMax = (1u << 20) - 1;  // a minor number has 20 bits
inline constexpr uint32_t kKernelNbdTimeoutSMax = 24 * 3600;    // longer is never
inline constexpr uint32_t kKernelNbdIdentifierBytesMax = 255;   // a line of sysfs holds 4 KiB
inline constexpr uint32_t kKernelNbdBlockBytesMin = 512;        // what the block layer takes
inline constexpr uint32_t kKernelNbdBlockBytesMax = 4096;       // its smallest page
inline constexpr uint32_t kNbdClientCallTimeoutMs = 5'000;   // one send or receive while connecting
inline constexpr uint32_t kNbdInfoRepliesMax = 16;           // of one GO; the protocol knows four
inline constexpr uint32_t kNetlinkReplyBytesMax = 8 * kKiB;  // the kernel's own buffer of one reply

// -- Host and addon
inline constexpr uint32_t kHostLoopsMax = 64;
inline constexpr uint32_t kHostVolumesMax = 4096;    // open at once, of one host
inline constexpr uint32_t kChapSecretBytesMin = 12;  // RFC 7143, 9.2.1: no less than 96 bits
inline constexpr uint32_t kChapSecretBytesMax = 256;
inline constexpr uint32_t kDiffRunsPerPageMax = 65'536;  // 1.5 MiB of native memory in one answer
inline constexpr uint32_t kCallsInFlightMax = 4096;      // of one JavaScript environment
inline constexpr uint32_t kEventsQueuedMax = 4096;  // to one environment; then the rest is dropped
inline constexpr uint32_t kEventTextBytesMax = 4 * kKiB;  // of one log line; the rest is cut
inline constexpr uint32_t kArgumentTextBytesMax = 4096;   // PATH_MAX; of one string from JavaScript
inline constexpr uint32_t kInitiatorsPerExportMax = 1024;

// -- Memory that one connection may pin: requests it has in flight and answers it has not taken.
inline constexpr uint64_t kConnectionBufferBytesMax = 64 * kMiB;

static_assert(kPduDataSegmentBytesMax <= kRequestBytesMax);
static_assert(kPduDataSegmentBytesMax < (1u << 24),
              "DataSegmentLength has 24 bits (RFC 7143, 11.2.1)");
static_assert(kChainLayersMax < (1u << 12));
static_assert(kHostSnapshotCopiesMax < kBlockingThreadsMax, "metadata must not wait for copies");
static_assert(kRingFileOpsMax + 2 * 2 * kConnectionsMax <= kRingCompletions, "iSCSI and NBD");
static_assert(kRequestBytesMax <= kConnectionBufferBytesMax);
static_assert(kNbdReadAheadBytesMax <= kConnectionBufferBytesMax);
static_assert(kTransferBytesMax <= kRequestBytesMax);
static_assert(uint64_t{kTasksPerSessionMax} * kFirstBurstBytesMax + kRequestBytesMax <=
              kConnectionBufferBytesMax);

}  // namespace aurochs
