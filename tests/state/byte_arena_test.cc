#include "tidemark/state/byte_arena.h"

#include <cstring>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace tidemark {
namespace {

TEST(ByteArena, CapacitiesArePowersOfTwoFromSixteen) {
  EXPECT_EQ(ByteArena::Capacity(0), 16u);
  EXPECT_EQ(ByteArena::Capacity(16), 16u);
  EXPECT_EQ(ByteArena::Capacity(17), 32u);
  EXPECT_EQ(ByteArena::Capacity(1 << 20), size_t{1} << 20);
}

TEST(ByteArena, EverythingReleasedServesAgain) {
  MemoryCount memory;
  ByteArena arena(&memory);
  for (size_t capacity : {size_t{16}, size_t{1024}, size_t{1} << 20}) {
    std::multiset<char*> first;
    for (int i = 0; i < 10; ++i) first.insert(arena.AllocateCapacity(capacity));
    for (char* bytes : first) {
      std::memset(bytes, 0xff, capacity);
      arena.Release(bytes, capacity);
    }
    const size_t before = memory.get();
    std::multiset<char*> second;
    for (int i = 0; i < 10; ++i) second.insert(arena.AllocateCapacity(capacity));
    EXPECT_EQ(second, first);
    EXPECT_EQ(memory.get(), before);
  }
}

TEST(ByteArena, PiecesDoNotOverlap) {
  MemoryCount memory;
  ByteArena arena(&memory);
  std::vector<std::pair<char*, size_t>> pieces;
  for (size_t i = 0; i < 3000; ++i) {
    const size_t size = i % 100 == 0 ? 5000 + 97 * i : i % 70;
    pieces.emplace_back(arena.Allocate(size), size);
    std::memset(pieces.back().first, static_cast<int>(i % 251), size);
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    for (size_t at = 0; at < pieces[i].second; ++at) {
      ASSERT_EQ(static_cast<unsigned char>(pieces[i].first[at]), i % 251);
    }
  }
}

TEST(MemoryCount, WhatIsLeftLeavesTheWholeToo) {
  MemoryCount whole;
  {
    MemoryCount part(&whole);
    MemoryCount other(&whole);
    part.Add(100);
    other.Add(10);
    part.Subtract(30);
    EXPECT_EQ(part.get(), 70u);
    EXPECT_EQ(whole.get(), 80u);
    ByteArena arena(&part);
    arena.Allocate(1 << 20);
    EXPECT_GT(whole.get(), size_t{1} << 20);
  }
  EXPECT_EQ(whole.get(), 0u);
}

}  // namespace
}  // namespace tidemark
