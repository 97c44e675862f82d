#include "tidemark/operators/sinks/mysql_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>
#include <string_view>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kMicrosPerDay = 86'400 * kMicrosPerSecond;
// MySQL's documented range of DATE and DATETIME, 1000-01-01 up to 9999-12-31, as days since
// 1970-01-01.
constexpr int64_t kFirstDay = -354'285;
constexpr int64_t kPastLastDay = 2'932'897;
constexpr size_t kDateTimeBytes = 26;
constexpr size_t kMaxDecimalBytes = 48;
constexpr size_t kMaxNameBytes = 80;
// Bytes around a value in an array request: the null indicator and the length.
constexpr size_t kValueOverhead = 10;

void AppendBigEndian(uint64_t value, int bytes, std::string* out) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    *out += static_cast<char>(value >> shift);
}

uint64_t FlipSign(int64_t value) { return static_cast<uint64_t>(value) ^ (uint64_t{1} << 63); }

uint64_t OrderedDouble(double value) {
  if (value == 0) value = 0;  // -0.0 is 0.0
  const auto bits = std::bit_cast<uint64_t>(value);
  return (bits >> 63) != 0 ? ~bits : bits | (uint64_t{1} << 63);
}

// Appends the value so that memcmp of several, one after the other, orders as the columns do.
void AppendKey(const Column& column, size_t row, std::string* out) {
  switch (column.type().id) {
    case TypeId::kBool:
      *out += static_cast<char>(column.values<uint8_t>()[row]);
      return;
    case TypeId::kInt32:
    case TypeId::kDate:
      AppendBigEndian(FlipSign(column.values<int32_t>()[row]), 8, out);
      return;
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      AppendBigEndian(FlipSign(column.values<int64_t>()[row]), 8, out);
      return;
    case TypeId::kDouble:
      AppendBigEndian(OrderedDouble(column.values<double>()[row]), 8, out);
      return;
    case TypeId::kDecimal: {
      const Int128 value = column.values<Int128>()[row];
      AppendBigEndian(FlipSign(static_cast<int64_t>(value >> 64)), 8, out);
      AppendBigEndian(static_cast<uint64_t>(value), 8, out);
      return;
    }
    case TypeId::kString:
    case TypeId::kBytes:
      for (const char c : column.text(row)) {
        *out += c;
        if (c == '\0') *out += '\xFF';
      }
      out->append(2, '\0');
      return;
  }
}

void AppendDigits(unsigned value, int digits, std::string* out) {
  char text[8];
  for (int i = digits - 1; i >= 0; --i) {
    text[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  out->append(text, static_cast<size_t>(digits));
}

void AppendDay(int64_t days, std::string* out) {
  const CivilDate date = CivilFromDays(days);
  AppendDigits(static_cast<unsigned>(date.year), 4, out);
  *out += '-';
  AppendDigits(date.month, 2, out);
  *out += '-';
  AppendDigits(date.day, 2, out);
}

// `2025-01-02 10:15:22.000000`, as MySQL reads a DATETIME(6).
void AppendDateTime(int64_t micros, std::string* out) {
  AppendDay(FloorDiv(micros, kMicrosPerDay), out);
  const int64_t of_day = FloorMod(micros, kMicrosPerDay);
  const auto seconds = static_cast<unsigned>(of_day / kMicrosPerSecond);
  *out += ' ';
  AppendDigits(seconds / 3600, 2, out);
  *out += ':';
  AppendDigits(seconds / 60 % 60, 2, out);
  *out += ':';
  AppendDigits(seconds % 60, 2, out);
  *out += '.';
  AppendDigits(static_cast<unsigned>(of_day % kMicrosPerSecond), 6, out);
}

bool IsDayOutside(int64_t days) { return days < kFirstDay || days >= kPastLastDay; }

// Why MySQL cannot hold the value of row `row`; null if it can.
const char* ValueProblem(const Column& column, size_t row) {
  switch (column.type().id) {
    case TypeId::kDouble:
      return std::isfinite(column.values<double>()[row]) ? nullptr
                                                         : "MySQL has no NaN and no infinity";
    case TypeId::kDate:
      return IsDayOutside(column.values<int32_t>()[row]) ? "MySQL's years are 1000 to 9999"
                                                         : nullptr;
    case TypeId::kTimestamp:
      return IsDayOutside(FloorDiv(column.values<int64_t>()[row], kMicrosPerDay))
                 ? "MySQL's years are 1000 to 9999"
                 : nullptr;
    default:
      return nullptr;
  }
}

std::string ShortText(const Column& column, size_t row) {
  if (column.IsNull(row)) return "NULL";
  std::string text;
  AppendValueText(column, row, &text);
  if (text.size() <= kMaxNameBytes) return text;
  size_t end = kMaxNameBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
    --end;  // whole characters
  return text.substr(0, end) + "...";
}

bool IsSentAsText(const DataType& type) {
  return type.id == TypeId::kTimestamp || type.id == TypeId::kDate || type.id == TypeId::kDecimal;
}

size_t MaxTextBytes(const DataType& type) {
  return type.id == TypeId::kDecimal ? kMaxDecimalBytes : kDateTimeBytes;
}

void AppendAsText(const Column& column, size_t row, std::string* out) {
  if (column.type().id == TypeId::kTimestamp) {
    AppendDateTime(column.values<int64_t>()[row], out);
  } else if (column.type().id == TypeId::kDate) {
    AppendDay(column.values<int32_t>()[row], out);
  } else {
    AppendDecimal(column.values<Int128>()[row], column.type().scale, out);
  }
}

int64_t Integer(const Column& column, size_t row) {
  switch (column.type().id) {
    case TypeId::kBool:
      return column.values<uint8_t>()[row];
    case TypeId::kInt32:
      return column.values<int32_t>()[row];
    default:
      return column.values<int64_t>()[row];
  }
}

}  // namespace

absl::Status MySqlRows::Add(const RowBatch& batch) {
  const auto batch_index = static_cast<uint32_t>(batches_.size());
  batches_.push_back(batch);
  const RowBatch& kept = batches_.back();
  for (size_t i = 0; i < kept.selection().size(); ++i) {
    const uint32_t row = kept.selection()[i];
    const auto null_key = std::find_if(layout_.key.begin(), layout_.key.end(),
                                       [&](size_t key) { return kept.column(key).IsNull(row); });
    if (null_key != layout_.key.end()) {
      if (layout_.skip_null_keys) {
        ++skipped_rows_;
        continue;
      }
      return absl::InvalidArgumentError(
          fmt::format("the row {} has a null in its key column {}; filter such rows out, or set "
                      "on_null_key=skip",
                      NameOf({batch_index, row}), kept.schema().field(*null_key).name));
    }
    const uint64_t key_at = key_bytes_.size();
    for (const size_t key : layout_.key) AppendKey(kept.column(key), row, &key_bytes_);
    const size_t key_size = key_bytes_.size() - key_at;
    uint64_t prefix = 0;
    for (size_t byte = 0; byte < 8; ++byte) {
      prefix =
          prefix << 8 | (byte < key_size ? static_cast<uint8_t>(key_bytes_[key_at + byte]) : 0U);
    }
    bool remove = false;
    if (layout_.delete_when) {
      const Column& flag = kept.column(*layout_.delete_when);
      remove = !flag.IsNull(row) && flag.values<uint8_t>()[row] != 0;
    }
    entries_.push_back(
        {prefix, key_at, static_cast<uint32_t>(key_size), {batch_index, row}, remove});
  }
  return absl::OkStatus();
}

bool MySqlRows::KeyLess(const Entry& a, const Entry& b) const {
  if (a.prefix != b.prefix) return a.prefix < b.prefix;
  const int order = std::memcmp(key_bytes_.data() + a.key_at, key_bytes_.data() + b.key_at,
                                std::min(a.key_size, b.key_size));
  return order != 0 ? order < 0 : a.key_size < b.key_size;
}

bool MySqlRows::SameKey(const Entry& a, const Entry& b) const {
  return a.prefix == b.prefix && a.key_size == b.key_size &&
         std::memcmp(key_bytes_.data() + a.key_at, key_bytes_.data() + b.key_at, a.key_size) == 0;
}

absl::Status MySqlRows::Settle() {
  const auto less = [this](const Entry& a, const Entry& b) { return KeyLess(a, b); };
  // Aggregates come in key order already. Stable: of equal keys the last that came stays last.
  if (!std::is_sorted(entries_.begin(), entries_.end(), less)) {
    std::stable_sort(entries_.begin(), entries_.end(), less);
  }
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (i + 1 < entries_.size() && SameKey(entries_[i], entries_[i + 1])) {
      ++superseded_rows_;
      continue;
    }
    (entries_[i].remove ? deletes_ : writes_).push_back(entries_[i].row);
  }
  entries_ = {};
  key_bytes_ = {};
  for (const size_t column : layout_.columns) {
    const absl::Status status = CheckValues(column);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status MySqlRows::CheckValues(size_t column_index) const {
  if (batches_.empty()) return absl::OkStatus();
  const Field& field = batches_.front().schema().field(column_index);
  const TypeId id = field.type.id;
  if (id != TypeId::kDouble && id != TypeId::kDate && id != TypeId::kTimestamp)
    return absl::OkStatus();
  const bool key =
      std::find(layout_.key.begin(), layout_.key.end(), column_index) != layout_.key.end();
  for (const std::vector<Row>* rows : {&writes_, &deletes_}) {
    if (rows == &deletes_ && !key) continue;  // only the key of a deleted row is sent
    for (const Row row : *rows) {
      const Column& values = column(row, column_index);
      if (values.IsNull(row.row)) continue;
      if (const char* problem = ValueProblem(values, row.row)) {
        return absl::InvalidArgumentError(
            fmt::format("the row {} has {}={}, which cannot be written: {}", NameOf(row),
                        field.name, ShortText(values, row.row), problem));
      }
    }
  }
  return absl::OkStatus();
}

std::string MySqlRows::NameOf(Row row) const {
  std::string name;
  for (const size_t key : layout_.key) {
    fmt::format_to(std::back_inserter(name), "{}{}={}", name.empty() ? "" : ", ",
                   batches_[row.batch].schema().field(key).name,
                   ShortText(column(row, key), row.row));
  }
  return name;
}

size_t MySqlRows::ArrayBytes(Row row, const std::vector<size_t>& columns) const {
  size_t bytes = 0;
  for (const size_t i : columns) {
    const Column& values = column(row, i);
    bytes += kValueOverhead;
    if (values.IsNull(row.row)) continue;
    if (values.type().is_text()) {
      bytes += values.text(row.row).size();
    } else if (IsSentAsText(values.type())) {
      bytes += MaxTextBytes(values.type());
    }
  }
  return bytes;
}

void MySqlRows::FillTexts(const Row* begin, const Row* end, size_t column_index,
                          std::string* buffer, MySqlParameter* parameter) const {
  const DataType type = column(*begin, column_index).type();
  parameter->kind = type.id == TypeId::kBytes     ? MySqlParameter::Kind::kBytes
                    : type.id == TypeId::kDecimal ? MySqlParameter::Kind::kDecimal
                                                  : MySqlParameter::Kind::kText;
  buffer->clear();
  // Reserved for all, so that the views into it stay.
  if (!type.is_text()) buffer->reserve(static_cast<size_t>(end - begin) * MaxTextBytes(type));
  for (const Row* row = begin; row != end; ++row) {
    const Column& values = column(*row, column_index);
    std::string_view text("", 0);
    if (!values.IsNull(row->row)) {
      if (type.is_text()) {
        if (!values.text(row->row).empty()) text = values.text(row->row);
      } else {
        const size_t at = buffer->size();
        AppendAsText(values, row->row, buffer);
        text = std::string_view(*buffer).substr(at);
      }
    }
    parameter->texts.push_back(text.data());
    parameter->lengths.push_back(text.size());
  }
}

void MySqlRows::FillParameters(const Row* begin, const Row* end, const std::vector<size_t>& columns,
                               std::vector<MySqlParameter>* parameters) {
  parameters->resize(columns.size());
  text_buffers_.resize(std::max(text_buffers_.size(), columns.size()));
  for (size_t i = 0; i < columns.size(); ++i) {
    MySqlParameter& parameter = (*parameters)[i];
    parameter.Clear();
    for (const Row* row = begin; row != end; ++row) {
      parameter.nulls.push_back(column(*row, columns[i]).IsNull(row->row) ? 1 : 0);
    }
    const DataType& type = column(*begin, columns[i]).type();
    if (type.is_text() || IsSentAsText(type)) {
      FillTexts(begin, end, columns[i], &text_buffers_[i], &parameter);
    } else if (type.id == TypeId::kDouble) {
      parameter.kind = MySqlParameter::Kind::kDouble;
      for (const Row* row = begin; row != end; ++row) {
        const Column& values = column(*row, columns[i]);
        parameter.doubles.push_back(values.IsNull(row->row) ? 0
                                                            : values.values<double>()[row->row]);
      }
    } else {
      parameter.kind = MySqlParameter::Kind::kInt64;
      for (const Row* row = begin; row != end; ++row) {
        const Column& values = column(*row, columns[i]);
        parameter.ints.push_back(values.IsNull(row->row) ? 0 : Integer(values, row->row));
      }
    }
  }
}

void MySqlRows::AppendLiteral(Row row, size_t column_index, std::string* sql) const {
  const Column& values = column(row, column_index);
  if (values.IsNull(row.row)) {
    *sql += "NULL";
    return;
  }
  switch (values.type().id) {
    case TypeId::kString:
      AppendMySqlText(values.text(row.row), sql);
      return;
    case TypeId::kBytes:
      AppendMySqlBytes(values.text(row.row), sql);
      return;
    case TypeId::kDouble:
      // With an exponent it is a double literal; without, a decimal one, which is rounded twice.
      fmt::format_to(std::back_inserter(*sql), "{:.17e}", values.values<double>()[row.row]);
      return;
    case TypeId::kTimestamp:
    case TypeId::kDate:
      *sql += '\'';
      AppendAsText(values, row.row, sql);
      *sql += '\'';
      return;
    case TypeId::kDecimal:
      AppendAsText(values, row.row, sql);
      return;
    case TypeId::kBool:
    case TypeId::kInt32:
    case TypeId::kInt64:
      fmt::format_to(std::back_inserter(*sql), "{}", Integer(values, row.row));
      return;
  }
}

}  // namespace tidemark
