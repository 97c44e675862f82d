#ifndef TIDEMARK_STATE_LOG_TAIL_H_
#define TIDEMARK_STATE_LOG_TAIL_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace tidemark {

/// Where the last record of a log of RocksDB's (the write-ahead log, the manifest) begins, if a
/// power cut left it half written: from somewhere inside it to its end the file is zeros (it had
/// grown before the disk had what it grew by). RocksDB calls that a wrong checksum. Nothing: the
/// log has no such record.
std::optional<uint64_t> FindTornTail(std::string_view log);

}  // namespace tidemark

#endif  // TIDEMARK_STATE_LOG_TAIL_H_
