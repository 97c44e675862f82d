#include "tidemark/state/state_content.h"

#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "fmt/format.h"
#include "tidemark/state/state_codec.h"

namespace tidemark {
namespace {

absl::Status BadRow(std::string_view what, std::string_view key, std::string_view value) {
  return absl::DataLossError(
      fmt::format("the checkpoint is damaged: {} (key of {} bytes, value of {} bytes)", what,
                  key.size(), value.size()));
}

bool IsWholePage(std::string_view bytes) {
  std::string buffer;
  PageReader page(bytes);
  while (page.Next()) {
    if (!page.Value(&buffer).has_value()) return false;
  }
  return !page.damaged();
}

}  // namespace

absl::StatusOr<StateContent> ReadStateContent(CheckpointStore& store, bool read_runs) {
  StateContent content;
  // No key begins with a byte of all ones but that of an operator past the greatest.
  const std::unique_ptr<StateCursor> row =
      store.NewStateCursor("", std::string(StateKeys::kWindowBytes + 1, '\xff'));
  while (true) {
    const absl::StatusOr<bool> more = row->Next();
    if (!more.ok()) return more.status();
    if (!*more) return content;
    if (!StateKeys::IsOfTable(row->key())) {
      ++content.other_rows;
      content.other_bytes += static_cast<int64_t>(row->key().size() + row->value().size());
      continue;
    }
    const std::optional<StateKeys::Parsed> key = StateKeys::Parse(row->key());
    if (!key.has_value()) return BadRow("a state row without a window", row->key(), row->value());
    WindowContent& window = content.tables[key->operator_id][key->window_end];
    window.bytes += static_cast<int64_t>(row->key().size() + row->value().size());
    switch (key->kind) {
      case StateKeys::Kind::kGroup:
        ++window.rows;
        break;
      case StateKeys::Kind::kCount: {
        const std::optional<int64_t> groups = DecodeCount(row->value());
        if (!StateKeys::ParseCountKey(row->key()).has_value() || !groups.has_value()) {
          return BadRow("a row that counts a window's groups", row->key(), row->value());
        }
        window.groups = *groups;
        break;
      }
      case StateKeys::Kind::kPage:
        if (!StateKeys::ParsePageNumber(row->key()).has_value() ||
            (read_runs && !IsWholePage(row->value()))) {
          return BadRow("a page of groups", row->key(), row->value());
        }
        ++window.pages;
        break;
      case StateKeys::Kind::kRunIndex: {
        const std::optional<uint64_t> first = StateKeys::ParsePageNumber(row->key());
        if (!first.has_value() || !DecodeRunIndex(*first, row->value()).has_value()) {
          return BadRow("a run's index", row->key(), row->value());
        }
        ++window.runs;
        break;
      }
    }
  }
}

}  // namespace tidemark
