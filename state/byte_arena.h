#ifndef TIDEMARK_STATE_BYTE_ARENA_H_
#define TIDEMARK_STATE_BYTE_ARENA_H_

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tidemark {

/// Bytes in use, as a part of `whole` if there is one. One thread at a time changes a count and
/// those that share its whole; any thread may read it. What is left when a count goes leaves the
/// whole too.
class MemoryCount {
 public:
  explicit MemoryCount(MemoryCount* whole = nullptr) : whole_(whole) {}
  ~MemoryCount() {
    if (whole_ != nullptr) whole_->Subtract(get());
  }
  MemoryCount(const MemoryCount&) = delete;
  MemoryCount& operator=(const MemoryCount&) = delete;

  void Add(size_t bytes) {
    bytes_.store(get() + bytes, std::memory_order_relaxed);
    if (whole_ != nullptr) whole_->Add(bytes);
  }
  void Subtract(size_t bytes) {
    bytes_.store(get() - bytes, std::memory_order_relaxed);
    if (whole_ != nullptr) whole_->Subtract(bytes);
  }
  /// The whole counts this part no longer.
  void Detach() {
    if (whole_ != nullptr) whole_->Subtract(get());
    whole_ = nullptr;
  }
  size_t get() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  MemoryCount* whole_;
  std::atomic<size_t> bytes_ = 0;
};

/// Uninitialised bytes, 16-byte aligned, counted in `memory`. Large ones are pages of their own,
/// which go back to the system as soon as they are freed.
void* AllocateBytes(size_t size, MemoryCount* memory);
void FreeBytes(void* bytes, size_t size, MemoryCount* memory);

/// Keys and strings of one table, freed together. Sizes are rounded up to powers of two by
/// `Capacity`, so that what is given back serves again and garbage stays below what is in use.
class ByteArena {
 public:
  explicit ByteArena(MemoryCount* memory) : memory_(memory) {}
  ~ByteArena();
  ByteArena(const ByteArena&) = delete;
  ByteArena& operator=(const ByteArena&) = delete;

  /// The bytes that a string of `size` may grow to in place.
  static size_t Capacity(size_t size) { return size <= 16 ? 16 : std::bit_ceil(size); }
  /// `size` bytes that stay until the arena goes.
  char* Allocate(size_t size);
  /// `capacity` bytes, a result of Capacity; `Release` gives them back for reuse.
  char* AllocateCapacity(size_t capacity);
  void Release(char* bytes, size_t capacity);
  /// Frees one piece of it. From the first call on nothing else may be asked of the arena. False:
  /// all of it has gone.
  bool FreeSome();

 private:
  struct Chunk {
    char* bytes;
    size_t size;
  };
  static constexpr size_t kFirstChunkBytes = 256;
  static constexpr size_t kMaxChunkBytes = size_t{256} << 10;

  char* NewChunk(size_t size);

  MemoryCount* memory_;
  std::vector<Chunk> chunks_;
  char* next_ = nullptr;
  size_t left_ = 0;
  size_t chunk_bytes_ = kFirstChunkBytes;
  /// By log2 of the capacity: a list through the free bytes themselves.
  std::vector<char*> free_;
};

}  // namespace tidemark

#endif  // TIDEMARK_STATE_BYTE_ARENA_H_
