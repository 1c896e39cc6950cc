#include "replica/replica_meta.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <span>

#include "base/crc32c.h"
#include "base/limits.h"
#include "replica/meta_steps.h"
#include "support/sim_directory.h"

namespace aurochs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

SnapshotMeta SnapshotNamed(const std::string& name) {
  return {"id-" + name, name, 1'000, false};
}

// A head above snapshots a and b.
ReplicaMeta ThreeLayers() {
  ReplicaMeta meta;
  meta.volume_id = "volume";
  meta.replica_id = "replica";
  meta.epoch = 3;
  meta.head = meta.next_layer++;
  meta.layers.push_back({meta.head, 0, 8 * kMiB, false, std::nullopt});
  EXPECT_TRUE(StepSnapshot(&meta, SnapshotNamed("a")).ok());
  EXPECT_TRUE(StepSnapshot(&meta, SnapshotNamed("b")).ok());
  return meta;
}

std::string WithHeader(const std::string& body) {
  char header[96];
  std::snprintf(header, sizeof header, "aurochs-replica 1 crc32c=%08x length=%zu\n",
                Crc32c(std::as_bytes(std::span(body))), body.size());
  return header + body;
}

std::string BodyOf(const ReplicaMeta& meta) {
  const std::string text = EncodeReplicaMeta(meta);
  return text.substr(text.find('\n') + 1);
}

// The error for a body in which `from` is replaced by `to`, with a header that fits.
std::string ErrorWith(const std::string& from, const std::string& to) {
  std::string body = BodyOf(ThreeLayers());
  const size_t at = body.find(from);
  EXPECT_NE(at, std::string::npos) << from << " is not in " << body;
  if (at == std::string::npos) return "";
  body.replace(at, from.size(), to);
  const auto meta = DecodeReplicaMeta(WithHeader(body));
  return meta.ok() ? "accepted" : meta.status().ToString();
}

TEST(ReplicaMeta, ReadsBackWhatItWrote) {
  ReplicaMeta meta = ThreeLayers();
  meta.compatible_features = 0x8000'0000'0000'0001;
  meta.epoch = UINT64_MAX;
  meta.layers[1].has_zero_map = true;
  meta.layers[1].snapshot->removing = true;
  meta.layers[1].snapshot->name = "quotes \" and \\ and \xc3\xa9\xf0\x9f\x90\x82";
  const auto again = DecodeReplicaMeta(EncodeReplicaMeta(meta));
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_TRUE(*again == meta);
}

TEST(ReplicaMeta, HasTheHeaderThatTheFormatDocumentShows) {
  EXPECT_THAT(EncodeReplicaMeta(ThreeLayers()),
              testing::ContainsRegex("^aurochs-replica 1 crc32c=[0-9a-f]{8} length=[0-9]+\n\\{"));
}

TEST(ReplicaMeta, IsRefusedWhenCutAnywhere) {
  const std::string text = EncodeReplicaMeta(ThreeLayers());
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_EQ(DecodeReplicaMeta(text.substr(0, length)).status().code(), ErrorCode::kCorruption)
        << length << " bytes";
  }
}

TEST(ReplicaMeta, IsRefusedWithAnySingleBitTurned) {
  const std::string text = EncodeReplicaMeta(ThreeLayers());
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string damaged = text;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(DecodeReplicaMeta(damaged).ok()) << "bit " << bit;
  }
}

TEST(ReplicaMeta, IsRefusedWithBytesBehindItsEnd) {
  EXPECT_EQ(DecodeReplicaMeta(EncodeReplicaMeta(ThreeLayers()) + " ").status().code(),
            ErrorCode::kCorruption);
}

TEST(ReplicaMeta, OfAnotherFormatVersionIsUnsupported) {
  std::string text = EncodeReplicaMeta(ThreeLayers());
  text.replace(text.find(" 1 "), 3, " 2 ");
  EXPECT_EQ(DecodeReplicaMeta(text).status().code(), ErrorCode::kUnsupported);
}

TEST(ReplicaMeta, WithAnUnknownIncompatibleFeatureIsUnsupported) {
  EXPECT_THAT(ErrorWith("\"incompatible_features\":0", "\"incompatible_features\":4"),
              testing::AllOf(HasSubstr("UNSUPPORTED"), HasSubstr("0x4")));
}

TEST(ReplicaMeta, KeepsUnknownCompatibleFeaturesAndClearsAutoclearOnes) {
  std::string body = BodyOf(ThreeLayers());
  const auto replace = [&body](const std::string& from, const std::string& to) {
    body.replace(body.find(from), from.size(), to);
  };
  replace("\"compatible_features\":0", "\"compatible_features\":6");
  replace("\"autoclear_features\":0", "\"autoclear_features\":9");
  const auto meta = DecodeReplicaMeta(WithHeader(body));
  ASSERT_TRUE(meta.ok()) << meta.status().ToString();
  EXPECT_THAT(BodyOf(*meta), testing::AllOf(HasSubstr("\"compatible_features\":6"),
                                            HasSubstr("\"autoclear_features\":0")));
}

TEST(ReplicaMeta, SaysWhichFieldIsWrong) {
  EXPECT_THAT(ErrorWith("{", "["), HasSubstr("not JSON"));
  EXPECT_THAT(ErrorWith("\"epoch\":3", "\"epoch\":-3"), HasSubstr("epoch"));
  EXPECT_THAT(ErrorWith("\"epoch\":3", "\"epoch\":3.5"), HasSubstr("epoch"));
  EXPECT_THAT(ErrorWith("\"epoch\":3", "\"epoch\":18446744073709551616"), HasSubstr("epoch"));
  EXPECT_THAT(ErrorWith("\"epoch\":3", "\"epoch\":\"3\""), HasSubstr("epoch"));
  EXPECT_THAT(ErrorWith("\"epoch\":3,", ""), HasSubstr("epoch"));
  EXPECT_THAT(ErrorWith("\"volume\"", "\"\""), HasSubstr("volume_id"));
  EXPECT_THAT(ErrorWith("\"volume\"", "\"a/b\""), HasSubstr("volume_id"));
  EXPECT_THAT(ErrorWith("\"replica\"", "7"), HasSubstr("replica_id"));
  EXPECT_THAT(ErrorWith("\"name\":\"a\"", "\"name\":\"\""), HasSubstr("name"));
  EXPECT_THAT(ErrorWith("\"name\":\"a\"", "\"name\":\"\\u0007\""), HasSubstr("name"));
  EXPECT_THAT(ErrorWith("\"removing\":false", "\"removing\":0"), HasSubstr("removing"));
  EXPECT_THAT(ErrorWith("\"zero_map\":false", "\"zero_map\":null"), HasSubstr("zero_map"));
  EXPECT_THAT(ErrorWith("\"layers\":[", "\"layers\":[7,"), HasSubstr("not an object"));
  EXPECT_THAT(ErrorWith("\"layers\"", "\"Layers\""), HasSubstr("layers"));
}

TEST(ReplicaMeta, RefusesSizesThatNoVolumeHas) {
  EXPECT_THAT(ErrorWith("\"size_bytes\":8388608", "\"size_bytes\":8388609"),
              HasSubstr("whole blocks"));
  EXPECT_THAT(ErrorWith("\"size_bytes\":8388608", "\"size_bytes\":4096"), HasSubstr("range"));
  EXPECT_THAT(ErrorWith("\"size_bytes\":8388608", "\"size_bytes\":140737488355328"),
              HasSubstr("range"));
  // Larger than the layer above.
  EXPECT_THAT(ErrorWith("\"size_bytes\":8388608", "\"size_bytes\":8392704"),
              HasSubstr("smaller than its parent"));
}

TEST(ReplicaMeta, RefusesTreesThatAreNone) {
  EXPECT_THAT(ErrorWith("\"head\":3", "\"head\":2"), HasSubstr("the head and a snapshot"));
  EXPECT_THAT(ErrorWith("\"head\":3", "\"head\":7"), HasSubstr("neither the head nor a snapshot"));
  EXPECT_THAT(ErrorWith("\"next_layer\":4", "\"next_layer\":3"), HasSubstr("next_layer"));
  EXPECT_THAT(ErrorWith("\"number\":2,\"parent\":1", "\"number\":2,\"parent\":2"),
              HasSubstr("not a snapshot below"));
  EXPECT_THAT(ErrorWith("\"number\":1,\"parent\":0", "\"number\":1,\"parent\":2"),
              HasSubstr("not a snapshot below"));
  EXPECT_THAT(ErrorWith("\"number\":2,", "\"number\":1,"), HasSubstr("rising order"));
  EXPECT_THAT(ErrorWith("\"number\":1,", "\"number\":0,"), HasSubstr("number"));
  EXPECT_THAT(ErrorWith("id-b", "id-a"), HasSubstr("appears twice"));
  EXPECT_THAT(ErrorWith("\"name\":\"b\"", "\"name\":\"a\""), HasSubstr("appears twice"));
  EXPECT_THAT(ErrorWith("\"zero_map\":false", "\"zero_map\":true"), HasSubstr("no zero map"));
}

TEST(ReplicaMeta, TakesTheLongestChainAndNoLonger) {
  ReplicaMeta meta = ThreeLayers();
  const std::string long_name(kSnapshotNameBytesMax - 5, '"');  // Escaped, it is twice as long.
  while (meta.layers.size() < kChainLayersMax) {
    char id[kReplicaIdBytesMax + 1];
    std::snprintf(id, sizeof id, "%064zu", meta.layers.size());
    const std::string name = long_name + std::string(id).substr(59);
    ASSERT_TRUE(StepSnapshot(&meta, {id, name, kUnixMsMax, true}).ok());
  }
  const std::string text = EncodeReplicaMeta(meta);
  EXPECT_LE(text.size(), kReplicaMetaBytesMax);
  EXPECT_TRUE(DecodeReplicaMeta(text).ok());
  EXPECT_EQ(StepSnapshot(&meta, SnapshotNamed("more")).code(), ErrorCode::kLimitExceeded);
}

TEST(ReplicaMeta, NamesTheFileItCannotRead) {
  SimDisk disk;
  auto root = disk.Root();
  EXPECT_EQ(LoadReplicaMeta(*root).status().code(), ErrorCode::kNotFound);
  auto file = root->OpenFile(kReplicaMetaFile, OpenMode::kCreate).value();
  EXPECT_THAT(LoadReplicaMeta(*root).status().ToString(),
              testing::AllOf(HasSubstr("CORRUPTION"), HasSubstr("replica.json")));
  ASSERT_TRUE(file->Truncate(kReplicaMetaBytesMax + 1).ok());
  EXPECT_THAT(LoadReplicaMeta(*root).status().ToString(),
              testing::AllOf(HasSubstr("CORRUPTION"), HasSubstr("larger than")));
}

TEST(ReplicaMeta, StaysAsItWasWhenItCannotBeReplaced) {
  SimDisk disk;
  auto root = disk.Root();
  Status status;
  ASSERT_EQ(StoreReplicaMeta(*root, ThreeLayers(), &status), StoreOutcome::kStored);
  ReplicaMeta other = ThreeLayers();
  other.epoch = 4;
  for (uint64_t step = 0; step < 3; ++step) {  // create, write, sync
    disk.FailAt(step, ErrorCode::kNoSpace);
    EXPECT_EQ(StoreReplicaMeta(*root, other, &status), StoreOutcome::kUnchanged) << step;
    EXPECT_EQ(status.code(), ErrorCode::kNoSpace);
    EXPECT_EQ(LoadReplicaMeta(*root)->epoch, 3u);
    EXPECT_THAT(root->List().value(), ElementsAre("replica.json"));
  }
}

TEST(ReplicaMetaSteps, MergeAndRevertKeepTheTreeWhole) {
  ReplicaMeta meta = ThreeLayers();  // 1 = a, 2 = b, 3 = head
  ASSERT_TRUE(StepRevert(&meta, "id-a").ok());
  EXPECT_THAT(meta.PathDown(meta.head), ElementsAre(4, 1));
  EXPECT_THAT(meta.Children(1), ElementsAre(2, 4));
  ASSERT_TRUE(StepSnapshot(&meta, SnapshotNamed("c")).ok());  // 4 = c, 5 = head
  StepDropLeaf(&meta, 2);
  StepMergeDown(&meta, 1);  // c takes over the file of a
  EXPECT_THAT(meta.PathDown(meta.head), ElementsAre(5, 1));
  EXPECT_EQ(meta.Find(1)->snapshot->name, "c");
  meta.Find(5)->has_zero_map = true;
  StepMergeUp(&meta, 1);
  EXPECT_THAT(meta.PathDown(meta.head), ElementsAre(5));
  EXPECT_FALSE(meta.Find(5)->has_zero_map);
  EXPECT_TRUE(DecodeReplicaMeta(EncodeReplicaMeta(meta)).ok());
}

TEST(ReplicaMetaSteps, RefuseWhatCannotBe) {
  ReplicaMeta meta = ThreeLayers();
  EXPECT_EQ(StepSnapshot(&meta, {"id-a", "x", 0, false}).code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(StepSnapshot(&meta, {"x", "a", 0, false}).code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(StepSnapshot(&meta, {"", "x", 0, false}).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(StepSnapshot(&meta, {"x", "\xff", 0, false}).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(StepRevert(&meta, "nowhere").code(), ErrorCode::kNotFound);
  EXPECT_EQ(StepMarkRemoving(&meta, "nowhere").code(), ErrorCode::kNotFound);
  EXPECT_TRUE(StepMarkRemoving(&meta, "id-a").ok());
  EXPECT_EQ(StepRevert(&meta, "id-a").code(), ErrorCode::kFailedPrecondition);
  EXPECT_TRUE(StepSnapshot(&meta, {"id-c", "a", 0, false}).ok()) << "the name is free again";
  EXPECT_EQ(StepExpand(&meta, 4 * kMiB).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(StepExpand(&meta, 8 * kMiB + 512).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(StepExpand(&meta, kVolumeBytesMax + kBlockBytes).code(), ErrorCode::kOutOfRange);
}

TEST(ReplicaMeta, KnowsItsOwnFilesByTheirNames) {
  EXPECT_EQ(LayerFileName(3), "layer-000003.img");
  EXPECT_EQ(ZeroMapFileName(1'234'567), "layer-1234567.zero");
  EXPECT_TRUE(IsLayerFileName("layer-000003.img"));
  EXPECT_TRUE(IsLayerFileName("layer-1234567.zero"));
  EXPECT_FALSE(IsLayerFileName("layer-3.img"));
  EXPECT_FALSE(IsLayerFileName("layer-000003.img.bak"));
  EXPECT_FALSE(IsLayerFileName("layer-00000x.img"));
  EXPECT_FALSE(IsLayerFileName("notes.txt"));
}

}  // namespace
}  // namespace aurochs
