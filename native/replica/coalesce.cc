#include "replica/coalesce.h"

namespace aurochs {

struct Coalescer::Merge {
  ReplicaCore& core;
};

Coalescer::Coalescer(ReplicaCore& core) : merge_(new Merge{core}) {}
Coalescer::~Coalescer() = default;
void Coalescer::Kick() {}
void Coalescer::Watch(uint32_t, std::function<void(Status)>, std::function<void(double)>) {}
void Coalescer::Stop(std::function<void()> stopped) {
  stopped();
}

}  // namespace aurochs
