// Names and numbers of the NBD protocol, as the NBD project's doc/proto.md has them, and of its
// extension EXTENDED_HEADERS, as doc/proto.md of the branch extension-ext-header has them. The
// names are the document's, without the prefix NBD_.
#pragma once

#include <cstdint>

namespace aurochs::nbd {

// -- Handshake: magic numbers ("Newstyle negotiation", "Fixed newstyle negotiation")
inline constexpr uint64_t kNbdMagic = 0x4e42444d41474943;     // "NBDMAGIC"
inline constexpr uint64_t kOptionMagic = 0x49484156454f5054;  // "IHAVEOPT"
inline constexpr uint64_t kOptionReplyMagic = 0x0003e889045565a9;

inline constexpr uint32_t kGreetingBytes = 18;
inline constexpr uint32_t kClientFlagsBytes = 4;
inline constexpr uint32_t kOptionHeaderBytes = 16;
inline constexpr uint32_t kOptionReplyHeaderBytes = 20;
inline constexpr uint32_t kExportNameReservedBytes = 124;

// Handshake flags, and the client's answer, which uses the same bits.
inline constexpr uint16_t kFlagFixedNewstyle = 1 << 0;
inline constexpr uint16_t kFlagNoZeroes = 1 << 1;

enum class Option : uint32_t {
  kExportName = 1,
  kAbort = 2,
  kList = 3,
  kPeekExport = 4,  // withdrawn
  kStartTls = 5,
  kInfo = 6,
  kGo = 7,
  kStructuredReply = 8,
  kListMetaContext = 9,
  kSetMetaContext = 10,
  kExtendedHeaders = 11,
};

enum class OptionReply : uint32_t {
  kAck = 1,
  kServer = 2,
  kInfo = 3,
  kMetaContext = 4,
  kErrUnsup = 0x80000001,
  kErrPolicy = 0x80000002,
  kErrInvalid = 0x80000003,
  kErrPlatform = 0x80000004,
  kErrTlsReqd = 0x80000005,
  kErrUnknown = 0x80000006,
  kErrShutdown = 0x80000007,
  kErrBlockSizeReqd = 0x80000008,
  kErrTooBig = 0x80000009,
  kErrExtHeaderReqd = 0x8000000a,
};

enum class InfoType : uint16_t {
  kExport = 0,
  kName = 1,
  kDescription = 2,
  kBlockSize = 3,
};

// -- Transmission flags
inline constexpr uint16_t kFlagHasFlags = 1 << 0;
inline constexpr uint16_t kFlagReadOnly = 1 << 1;
inline constexpr uint16_t kFlagSendFlush = 1 << 2;
inline constexpr uint16_t kFlagSendFua = 1 << 3;
inline constexpr uint16_t kFlagRotational = 1 << 4;
inline constexpr uint16_t kFlagSendTrim = 1 << 5;
inline constexpr uint16_t kFlagSendWriteZeroes = 1 << 6;
inline constexpr uint16_t kFlagSendDf = 1 << 7;
inline constexpr uint16_t kFlagCanMultiConn = 1 << 8;
inline constexpr uint16_t kFlagSendCache = 1 << 10;
inline constexpr uint16_t kFlagSendFastZero = 1 << 11;
inline constexpr uint16_t kFlagBlockStatusPayload = 1 << 12;

// -- Transmission
// Which replies were negotiated. Extended ones come with extended requests, and with 64-bit lengths
// in both.
enum class ReplyStyle : uint8_t { kSimple, kStructured, kExtended };

inline constexpr uint32_t kRequestMagic = 0x25609513;
inline constexpr uint32_t kExtendedRequestMagic = 0x21e41c71;
inline constexpr uint32_t kSimpleReplyMagic = 0x67446698;
inline constexpr uint32_t kStructuredReplyMagic = 0x668e33ef;
inline constexpr uint32_t kExtendedReplyMagic = 0x6e8a278c;

inline constexpr uint32_t kRequestHeaderBytes = 28;
inline constexpr uint32_t kExtendedRequestHeaderBytes = 32;
inline constexpr uint32_t kSimpleReplyBytes = 16;
inline constexpr uint32_t kChunkHeaderBytes = 20;
inline constexpr uint32_t kExtendedChunkHeaderBytes = 32;

enum class Command : uint16_t {
  kRead = 0,
  kWrite = 1,
  kDisc = 2,
  kFlush = 3,
  kTrim = 4,
  kCache = 5,
  kWriteZeroes = 6,
  kBlockStatus = 7,
};

inline constexpr uint16_t kCommandFlagFua = 1 << 0;
inline constexpr uint16_t kCommandFlagNoHole = 1 << 1;
inline constexpr uint16_t kCommandFlagDf = 1 << 2;
inline constexpr uint16_t kCommandFlagReqOne = 1 << 3;
inline constexpr uint16_t kCommandFlagFastZero = 1 << 4;
inline constexpr uint16_t kCommandFlagPayloadLen = 1 << 5;

inline constexpr uint16_t kReplyFlagDone = 1 << 0;

enum class ChunkType : uint16_t {
  kNone = 0,
  kOffsetData = 1,
  kOffsetHole = 2,
  kBlockStatus = 5,
  kBlockStatusExt = 6,
  kError = 0x8001,
  kErrorOffset = 0x8002,
};

// Of metadata context base:allocation.
inline constexpr uint32_t kStateHole = 1 << 0;
inline constexpr uint32_t kStateZero = 1 << 1;

// Of our metadata contexts aurochs:dirty/<snapshot> (docs/nbd-support.md).
inline constexpr uint32_t kStateDirty = 1 << 0;
inline constexpr uint32_t kStateDirtyZero = 1 << 1;
inline constexpr uint32_t kStateSnapshotGone = 1 << 2;

// "Error values"
enum class NbdError : uint32_t {
  kNone = 0,
  kEperm = 1,
  kEio = 5,
  kEnomem = 12,
  kEinval = 22,
  kEnospc = 28,
  kEoverflow = 75,
  kEnotsup = 95,
  kEshutdown = 108,
};

}  // namespace aurochs::nbd
