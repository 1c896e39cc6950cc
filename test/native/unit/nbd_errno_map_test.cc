#include <gtest/gtest.h>

#include <set>

#include "nbd/errno_map.h"

namespace aurochs::nbd {
namespace {

// proto.md, "Error values": the closed list.
const std::set<NbdError> kAllowed{NbdError::kEperm,   NbdError::kEio,      NbdError::kEnomem,
                                  NbdError::kEinval,  NbdError::kEnospc,   NbdError::kEoverflow,
                                  NbdError::kEnotsup, NbdError::kEshutdown};

TEST(NbdErrnoMap, AnswersEveryErrorOfOursWithOneOfTheProtocol) {
  for (int code = 1; code <= static_cast<int>(ErrorCode::kIo); ++code) {
    EXPECT_TRUE(kAllowed.contains(NbdErrorFor(static_cast<ErrorCode>(code)))) << code;
  }
  EXPECT_EQ(NbdErrorFor(ErrorCode::kOk), NbdError::kNone);
}

TEST(NbdErrnoMap, TellsNoSpaceAndReadOnlyFromOtherFailures) {
  EXPECT_EQ(NbdErrorFor(ErrorCode::kNoSpace), NbdError::kEnospc);
  EXPECT_EQ(NbdErrorFor(ErrorCode::kReadOnly), NbdError::kEperm);
  EXPECT_EQ(NbdErrorFor(ErrorCode::kIo), NbdError::kEio);
  EXPECT_EQ(NbdErrorFor(ErrorCode::kCorruption), NbdError::kEio);
  EXPECT_EQ(NbdErrorFor(ErrorCode::kStaleEpoch), NbdError::kEshutdown);
}

}  // namespace
}  // namespace aurochs::nbd
