#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/operators/expressions/function_table.h"
#include "tidemark/operators/expressions/kernels.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

bool IsContinuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

size_t CountCodePoints(std::string_view text) {
  size_t count = 0;
  for (char byte : text) count += !IsContinuation(byte);
  return count;
}

/// Only ASCII letters change: every other byte stays as it is, so UTF-8 stays intact.
template <char kFirst, char kLast>
void ChangeCaseKernel(const KernelCall& call) {
  auto arena = std::make_shared<Arena>();
  std::string_view* out = call.out->mutable_values<std::string_view>();
  ForEachValidRow(call.rows, *call.out, [&](size_t row) {
    const std::string_view text = call.args[0]->text(row);
    char* copy = arena->Allocate(text.size());
    for (size_t i = 0; i < text.size(); ++i) {
      const bool changes = text[i] >= kFirst && text[i] <= kLast;
      copy[i] = static_cast<char>(text[i] ^ (changes ? 0x20 : 0));
    }
    out[row] = {copy, text.size()};
  });
  call.out->AddStorage(std::move(arena));
}

void ConcatKernel(const KernelCall& call) {
  auto arena = std::make_shared<Arena>();
  std::string_view* out = call.out->mutable_values<std::string_view>();
  ForEachValidRow(call.rows, *call.out, [&](size_t row) {
    size_t size = 0;
    for (const ColumnPtr& arg : call.args) size += arg->text(row).size();
    char* at = arena->Allocate(size);
    out[row] = {at, size};
    for (const ColumnPtr& arg : call.args) {
      const std::string_view text = arg->text(row);
      at = std::copy(text.begin(), text.end(), at);
    }
  });
  call.out->AddStorage(std::move(arena));
}

/// The code points [start, end) of the text.
std::string_view CodePoints(std::string_view text, int64_t start, int64_t end) {
  if (end <= start || end <= 0) return text.substr(0, 0);
  size_t at = 0;
  int64_t count = 0;
  const auto skip_to = [&](int64_t target) {
    while (at < text.size() && count < target) {
      ++at;
      while (at < text.size() && IsContinuation(text[at])) ++at;
      ++count;
    }
    return at;
  };
  const size_t first = skip_to(start);
  return text.substr(first, skip_to(end) - first);
}

// Spark's UTF8String.substringSQL: a negative position counts from the end and may lie before the
// first code point; the length is counted from there.
void SubstringKernel(const KernelCall& call) {
  const int32_t* positions = call.args[1]->values<int32_t>();
  const int32_t* lengths = call.args[2]->values<int32_t>();
  std::string_view* out = call.out->mutable_values<std::string_view>();
  ForEachValidRow(call.rows, *call.out, [&](size_t row) {
    const std::string_view text = call.args[0]->text(row);
    int64_t start = positions[row];
    if (start > 0) {
      --start;
    } else if (start < 0) {
      start += static_cast<int64_t>(CountCodePoints(text));
    }
    out[row] = CodePoints(text, start, start + lengths[row]);
  });
  call.out->ShareStorage(*call.args[0]);
}

void CodePointsKernel(const KernelCall& call) {
  int32_t* out = call.out->mutable_values<int32_t>();
  ForEachValidRow(call.rows, *call.out, [&](size_t row) {
    out[row] = static_cast<int32_t>(CountCodePoints(call.args[0]->text(row)));
  });
}

void ByteLengthKernel(const KernelCall& call) {
  int32_t* out = call.out->mutable_values<int32_t>();
  ForEachValidRow(call.rows, *call.out, [&](size_t row) {
    out[row] = static_cast<int32_t>(call.args[0]->text(row).size());
  });
}

absl::Status NotString(const CallSite& call) {
  return BindError(call, fmt::format("takes a string, not {}", call.type(0).ToString()),
                   "convert the argument with Cast(..., DataType::String())");
}

}  // namespace

absl::StatusOr<BoundExpression> BindChangeCase(const CallSite& call) {
  if (call.type(0) != DataType::String()) return NotString(call);
  const bool upper = call.function() == "upper";
  return StrictCall(DataType::String(), call.args,
                    upper ? &ChangeCaseKernel<'a', 'z'> : &ChangeCaseKernel<'A', 'Z'>);
}

absl::StatusOr<BoundExpression> BindConcat(const CallSite& call) {
  std::vector<BoundExpression> texts;
  for (const BoundExpression& arg : call.args) {
    texts.push_back(ImplicitCast(arg, DataType::String()));
  }
  return StrictCall(DataType::String(), std::move(texts), &ConcatKernel);
}

absl::StatusOr<BoundExpression> BindSubstring(const CallSite& call) {
  if (call.type(0) != DataType::String()) return NotString(call);
  if (call.type(1) != DataType::Int32() || call.type(2) != DataType::Int32()) {
    return BindError(call,
                     fmt::format("has a position and length of {} and {}", call.type(1).ToString(),
                                 call.type(2).ToString()),
                     "give it int32 values, as with Cast(..., DataType::Int32())");
  }
  return StrictCall(DataType::String(), call.args, &SubstringKernel);
}

absl::StatusOr<BoundExpression> BindLength(const CallSite& call) {
  if (call.type(0) == DataType::Bytes()) {
    return StrictCall(DataType::Int32(), call.args, &ByteLengthKernel);
  }
  if (call.type(0) != DataType::String()) return NotString(call);
  return StrictCall(DataType::Int32(), call.args, &CodePointsKernel);
}

}  // namespace tidemark
