#ifndef TIDEMARK_TESTS_FAULTS_FUZZ_JUDGES_H_
#define TIDEMARK_TESTS_FAULTS_FUZZ_JUDGES_H_

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace tidemark::testing {

/// What becomes of bytes that somebody else wrote: `accepted ` and the value, or `refused ` and the
/// reason. Each reads its bytes by every way there is to read them (padded or not, alone or after
/// others, under each policy, ...) and ends the process if two ways differ: a judge is both the
/// body of a libFuzzer target and what corpus_test compares with the corpus' verdicts. Pure
/// functions; any thread.
std::string JudgeJsonRecord(std::string_view bytes);
/// The first byte picks the schema (avro_record_fuzz.cc).
std::string JudgeAvroRecord(std::string_view bytes);
std::string JudgeAvroSchema(std::string_view bytes);
std::string JudgeConfluentFrame(std::string_view bytes);
std::string JudgeConfigFile(std::string_view bytes);
std::string JudgeOffsets(std::string_view bytes);
/// The first line names the row (checkpoint_row_fuzz.cc).
std::string JudgeCheckpointRow(std::string_view bytes);

struct Judge {
  std::string_view target;  ///< its corpus is tests/faults/corpus/<target>.txt
  std::string (*judge)(std::string_view bytes);
};
inline constexpr std::array<Judge, 7> kJudges = {{
    {"json_record", &JudgeJsonRecord},
    {"avro_record", &JudgeAvroRecord},
    {"avro_schema", &JudgeAvroSchema},
    {"confluent_frame", &JudgeConfluentFrame},
    {"config_file", &JudgeConfigFile},
    {"offsets", &JudgeOffsets},
    {"checkpoint_row", &JudgeCheckpointRow},
}};

/// Two ways to read the same bytes must agree.
inline void MustAgree(std::string_view one, std::string_view other, const char* what) {
  if (one == other) return;
  std::fprintf(stderr, "%s differ:\n%.*s\n%.*s\n", what, static_cast<int>(one.size()), one.data(),
               static_cast<int>(other.size()), other.data());
  std::abort();
}

}  // namespace tidemark::testing

/// The libFuzzer target of a judge, in a build with -DTIDEMARK_FUZZ=ON; elsewhere nothing.
#ifdef TIDEMARK_FUZZ
#define TIDEMARK_FUZZ_TARGET(judge)                                         \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { \
    tidemark::testing::judge({reinterpret_cast<const char*>(data), size});  \
    return 0;                                                               \
  }
#else
#define TIDEMARK_FUZZ_TARGET(judge) static_assert(true)
#endif

#endif  // TIDEMARK_TESTS_FAULTS_FUZZ_JUDGES_H_
