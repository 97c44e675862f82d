#ifndef TIDEMARK_OPERATORS_FORMATS_AVRO_PROGRAM_H_
#define TIDEMARK_OPERATORS_FORMATS_AVRO_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/formats/avro_block.h"
#include "tidemark/operators/formats/avro_run.h"
#include "tidemark/operators/formats/avro_step.h"
#include "tidemark/operators/formats/avro_walk.h"
#include "tidemark/operators/rows/schema.h"

namespace tidemark {

/// One column to fill: the field of the decoded schema, and where its value is (the names of its
/// path).
struct AvroColumn {
  size_t column = 0;  ///< in the batch
  Field field;
  std::vector<std::string> path;
  absl::TimeZone zone;  ///< of times without one
};

/// A writer's schema, as read by a reader's, compiled for the columns that are wanted: a list of
/// takes and skips in the order of the bytes. Immutable, thread-safe.
///
/// What a column takes (through any union; a null, and a path that runs into null or a scalar, is
/// null; an Avro value that the column cannot hold is wrong_type or out_of_range):
///   bool       boolean
///   int32/64   int, long (a number past the column's range: out_of_range)
///   double     int, long, float, double
///   decimal    bytes and fixed with logical type decimal (rounded half up to the column's scale;
///              more digits than the precision: out_of_range), int, long
///   string     string (with uuid too), enum, bytes that are UTF-8; a fixed uuid in its usual text;
///              dates, times and numbers as text; everything else, arrays and maps too, as JSON
///              text
///   bytes      bytes, fixed, string
///   date       int with logical type date; a string, 2025-01-02
///   timestamp  long with a timestamp logical type (nanos are cut towards the past); long with a
///              local-timestamp logical type (in the field's zone, by default UTC); a string of ISO
///              8601, as in JSON; a plain int or long if the field says EpochSeconds, -Millis or
///              -Micros
class AvroProgram {
 public:
  /// What to do about a wanted column that the reader's schema has nowhere.
  enum class Missing : uint8_t { kRefuse, kNull };

  /// InvalidArgument: a column that is missing (the nearest name is told), of a type that its
  /// values never fit, or whose path runs through an array or a map; schemas that cannot be
  /// resolved, or make too large a program.
  static absl::StatusOr<std::unique_ptr<const AvroProgram>> Compile(
      std::shared_ptr<const AvroResolution> resolution, const std::vector<AvroColumn>& columns,
      Missing missing, const AvroLimits& limits);

  /// Reads one record after another, each of which must hold one datum and no byte more, and counts
  /// `next` and `row` up. Stops at the end, or at a record that is not for this program (it has no
  /// value, is too large or has another header): kGood; or at one that is bad: `next` is that one,
  /// and after kBadValue the values that could not be read are null and all others are there; after
  /// kBroken the row is unspecified (but for text, which is an empty view or valid).
  AvroOutcome Run(AvroRun* run, AvroOutput* output, AvroProblem* problem) const;

 private:
  friend class AvroCompiler;

  enum class Op : uint8_t {
    // Takes into `column`.
    kBool,
    kInt32,
    kInt64,
    kDouble,
    kString,
    kMillis,
    // The same, called seldom, or costly anyway.
    kIntToInt64,
    kLongToDouble,
    kLongToFloat,
    kFloat,
    kBytes,
    kTimestamp,
    kLongToDecimal,
    kFixed,  // arg: bytes
    kFixedUuid,
    kEnum,     // arg: in steps_
    kDecimal,  // arg: in steps_
    kDate,
    kEpoch,  // arg: in columns_
    kIsoDate,
    kIsoTimestamp,    // arg: in columns_
    kLocalTimestamp,  // arg: in columns_
    kText,            // arg: in steps_
    kPeekText,        // as kText, without moving on
    // Skips.
    kSkipLong,
    kSkipBytes,
    kSkipWidth,  // arg: bytes
    kSkipValue,  // arg: in types_
    // The rest.
    kNull,          // `column` becomes null
    kOptional,      // reads a branch: small is null's, then `column` becomes null and arg is next
    kSkipOptional,  // as kOptional, without a column
    kUnion,         // reads a branch: `column` of them, whose code is at branches_[arg...]
    kJump,          // arg: where to
    kFail,          // arg: in failures_; the value is skipped by what follows
    kBeginDefault,  // arg: in defaults_; what follows is read from it
    kEndDefault,
  };
  struct Instruction {
    Op op = Op::kNull;
    uint8_t is_int = 0;  // numbers: the writer's are int, so more than 32 bits are broken;
                         // kOptional: the branch of null
    AvroLogical logical = AvroLogical::kNone;
    uint32_t column = 0;
    uint64_t arg = 0;
  };
  // Instructions, up to before `end`, that every record of a block goes through before any goes
  // on: those of `value`, or others.
  struct Stretch {
    AvroBlockValue value;
    size_t begin;
    size_t end;
  };
  // What the reading of a record has in hand.
  struct State {
    std::string_view datum;  // what is left of it
    size_t readable;         // bytes after it
    size_t row;
    AvroOutput* output;
    AvroProblem* problem;
    bool may_view;
    AvroOutcome outcome = AvroOutcome::kGood;
    AvroCursor cursor{std::string_view()};  // while an instruction is taken
  };

  AvroProgram() = default;
  // Reads records side by side. False: the next one is to be read by itself.
  bool RunBlock(AvroRun* run, AvroOutput* output, AvroProblem* problem) const;
  void RunStretch(const Stretch& stretch, size_t row, AvroBlock* block, AvroOutput* output,
                  AvroProblem* problem) const;
  AvroOutcome RunRecord(const AvroRun& run, AvroOutput* output, AvroProblem* problem) const;
  // The instructions from `begin` to before `end`, which move past what they read of the datum.
  // False: broken.
  bool Interpret(size_t begin, size_t end, State* state) const;
  bool Take(const Instruction& instruction, State* state) const;
  bool TakeNumber(const Instruction& instruction, State* state) const;
  bool TakeBytes(const Instruction& instruction, State* state) const;
  bool TakeText(const Instruction& instruction, State* state) const;
  bool TakeTime(const Instruction& instruction, int64_t value, State* state) const;
  bool TakeIso(const Instruction& instruction, State* state) const;
  bool StoreText(const Instruction& instruction, std::string_view text, State* state) const;
  bool StoreString(const Instruction& instruction, std::string_view text, State* state) const;
  bool BadValue(const Instruction& instruction, BadReason reason, std::string detail,
                State* state) const;
  bool Broken(const Instruction& instruction, std::string detail, State* state) const;
  bool Fault(const Instruction& instruction, State* state) const;
  AvroOutcome Break(const Instruction& instruction, std::string detail, AvroProblem* problem) const;
  AvroOutcome BreakAt(const Instruction& instruction, AvroCursor cursor,
                      AvroProblem* problem) const;
  AvroOutcome BreakInBranch(const Instruction& instruction, AvroCursor cursor, const char* begin,
                            size_t count, AvroProblem* problem) const;
  bool SkipValue(const Instruction& instruction, State* state) const;
  std::string PlaceOf(const Instruction& instruction) const;
  const AvroColumn& ColumnOf(const Instruction& instruction) const;

  std::shared_ptr<const AvroResolution> resolution_;
  AvroLimits limits_;
  std::vector<AvroColumn> columns_;
  std::vector<Instruction> code_;
  std::vector<Stretch> stretches_;
  std::vector<std::string> places_;  // of each instruction: what it reads, for messages
  std::vector<uint32_t> branches_;
  std::vector<const AvroStep*> steps_;
  std::vector<const AvroType*> types_;
  std::vector<std::string> failures_;
  std::vector<const std::string*> defaults_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_AVRO_PROGRAM_H_
