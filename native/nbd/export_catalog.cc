#include "nbd/export_catalog.h"

namespace aurochs::nbd {

uint16_t TransmissionFlagsFor(const ExportDescription& chosen, ReplyStyle replies) {
  // All connections of an export share one device, so a flush on one covers what was answered on
  // any (CAN_MULTI_CONN).
  uint16_t flags =
      kFlagHasFlags | kFlagSendFlush | kFlagSendFua | kFlagCanMultiConn | kFlagSendCache;
  if (replies != ReplyStyle::kSimple) flags |= kFlagSendDf;
  if (chosen.read_only || chosen.info.read_only) return flags | kFlagReadOnly;

  flags |= kFlagSendWriteZeroes | kFlagSendFastZero;
  if (chosen.info.can_unmap) flags |= kFlagSendTrim;
  return flags;
}

}  // namespace aurochs::nbd
