#ifndef TIDEMARK_OPERATORS_FORMATS_AVRO_BLOCK_H_
#define TIDEMARK_OPERATORS_FORMATS_AVRO_BLOCK_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tidemark/operators/formats/avro_run.h"

namespace tidemark {

/// A value that every record of a block has next.
struct AvroBlockValue {
  enum class Kind : uint8_t {
    // Takes into `column`.
    kBool,
    kInt32,
    kInt32As64,  // of 32 bits, into an int64
    kInt64,
    kMillis,  // into microseconds
    kFloat,   // into a double
    kDouble,
    kString,
    kBytes,
    // Skips.
    kSkipLong,
    kSkipBytes,
    kSkipWidth,
    kOther,  // anything else: nothing for AvroBlock::Read
  };
  Kind kind = Kind::kOther;
  bool is_optional = false;  ///< a union: null is branch `null_branch`, the value the other of two
  uint8_t null_branch = 0;
  uint32_t column = 0;
  int64_t width = 0;  ///< kSkipWidth: bytes

  bool IsSkip() const { return kind >= Kind::kSkipLong && kind <= Kind::kSkipWidth; }
};

/// Consecutive records read side by side: the next value of all of them in a short loop, then the
/// one after it. A value that is not good, or is not as the loops know it, ends the block before
/// its record: that one is to be read by itself, from its beginning. Begin; for each value Read, or
/// for kOther datum and MoveTo of each record; End. Then the rows of the records that are left
/// hold what was read; those after them, of records cut off, may hold some of it (null bits too;
/// texts are views of readable bytes). Not thread-safe.
class AvroBlock {
 public:
  static constexpr size_t kMaxRecords = AvroRun::kMaxBlockRecords;

  /// The next records of the run, as far as they are the run's and padded.
  void Begin(const AvroRun& run);
  size_t size() const { return size_; }
  void Read(const AvroBlockValue& next, AvroOutput* output, size_t row);
  /// What is left of a record's.
  std::string_view datum(size_t record) const {
    return {at_[record], static_cast<size_t>(end_[record] - at_[record])};
  }
  void MoveTo(size_t record, const char* at) { at_[record] = at; }
  /// The block ends before this record.
  void Cut(size_t record) { size_ = record; }
  /// Each record ends here.
  void End();

 private:
  // These give the nulls: bit i is record i's.
  template <bool kIsOptional, typename ReadOne>
  uint64_t ForEach(uint8_t null_branch, ReadOne read);
  template <bool kIsOptional>
  uint64_t ReadLongs(uint8_t null_branch, int64_t* to);
  template <bool kIsOptional, typename Store>
  uint64_t ConvertLongs(uint8_t null_branch, Store store);
  template <bool kIsOptional, typename From, typename T>
  uint64_t ReadRaw(uint8_t null_branch, T* to);
  template <bool kIsOptional, bool kIsText>
  uint64_t ReadTexts(uint8_t null_branch, std::string_view* to, Arena* copies);
  template <bool kIsOptional>
  uint64_t Take(const AvroBlockValue& next, AvroOutput* output, size_t row);
  template <bool kIsOptional>
  void Skip(const AvroBlockValue& next);

  size_t size_ = 0;
  // Of each record: where its next value is, never past its end; kRecordPadding bytes after that
  // may be read.
  const char* at_[kMaxRecords];
  const char* end_[kMaxRecords];
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_AVRO_BLOCK_H_
