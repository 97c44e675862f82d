#include "tidemark/state/byte_arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace tidemark {
namespace {

constexpr size_t kPagesFromBytes = size_t{128} << 10;

}  // namespace

void* AllocateBytes(size_t size, MemoryCount* memory) {
  void* bytes = nullptr;
  if (size < kPagesFromBytes) {
    bytes = ::operator new(size);
  } else {
    bytes = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) throw std::bad_alloc();
  }
  memory->Add(size);
  return bytes;
}

void FreeBytes(void* bytes, size_t size, MemoryCount* memory) {
  if (size < kPagesFromBytes) {
    ::operator delete(bytes);
  } else {
    munmap(bytes, size);
  }
  memory->Subtract(size);
}

ByteArena::~ByteArena() {
  while (FreeSome()) {
  }
}

bool ByteArena::FreeSome() {
  if (chunks_.empty()) return false;
  FreeBytes(chunks_.back().bytes, chunks_.back().size, memory_);
  chunks_.pop_back();
  return true;
}

char* ByteArena::NewChunk(size_t size) {
  char* bytes = static_cast<char*>(AllocateBytes(size, memory_));
  chunks_.push_back({bytes, size});
  return bytes;
}

char* ByteArena::Allocate(size_t size) {
  if (size > left_) {
    if (size > chunk_bytes_ / 4) return NewChunk(size);  // what is left of the chunk stays in use
    next_ = NewChunk(chunk_bytes_);
    left_ = chunk_bytes_;
    chunk_bytes_ = std::min(chunk_bytes_ * 2, kMaxChunkBytes);
  }
  char* bytes = next_;
  next_ += size;
  left_ -= size;
  return bytes;
}

char* ByteArena::AllocateCapacity(size_t capacity) {
  const auto size_class = static_cast<size_t>(std::countr_zero(capacity));
  if (size_class >= free_.size() || free_[size_class] == nullptr) return Allocate(capacity);
  char* bytes = free_[size_class];
  std::memcpy(&free_[size_class], bytes, sizeof(char*));
  return bytes;
}

void ByteArena::Release(char* bytes, size_t capacity) {
  const auto size_class = static_cast<size_t>(std::countr_zero(capacity));
  if (size_class >= free_.size()) free_.resize(size_class + 1);
  std::memcpy(bytes, &free_[size_class], sizeof(char*));
  free_[size_class] = bytes;
}

}  // namespace tidemark
