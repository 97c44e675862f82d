#include "tidemark/operators/rows/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <unordered_set>

namespace tidemark {
namespace {

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string NearestName(std::string_view name, const std::vector<std::string>& names) {
  const std::string* best = nullptr;
  size_t best_distance = std::max<size_t>(2, name.size() / 2) + 1;
  for (const std::string& candidate : names) {
    const size_t distance = EditDistance(name, candidate);
    if (distance < best_distance) {
      best = &candidate;
      best_distance = distance;
    }
  }
  return best == nullptr ? std::string() : *best;
}

Schema& Schema::Add(std::string name, DataType type) {
  Field field;
  field.name = std::move(name);
  field.type = type;
  return Add(std::move(field));
}

Schema& Schema::Add(Field field) {
  fields_.push_back(std::move(field));
  return *this;
}

Schema& Schema::At(std::string json_pointer) {
  if (fields_.empty()) {
    problem_ = "At() stands before the first field";
  } else {
    fields_.back().path = std::move(json_pointer);
  }
  return *this;
}

Schema& Schema::Zone(std::string iana_zone) {
  if (fields_.empty() || fields_.back().type.id != TypeId::kTimestamp) {
    problem_ = "Zone() must follow a Timestamp field";
  } else {
    fields_.back().zone = std::move(iana_zone);
  }
  return *this;
}

Schema& Schema::Encoding(TimeEncoding encoding) {
  if (fields_.empty() || fields_.back().type.id != TypeId::kTimestamp) {
    problem_ = "EpochSeconds(), EpochMillis() and EpochMicros() must follow a Timestamp field";
  } else {
    fields_.back().time_encoding = encoding;
  }
  return *this;
}

std::optional<size_t> Schema::Find(std::string_view name) const {
  for (size_t i = 0; i < fields_.size(); ++i) {
    if (fields_[i].name == name) return i;
  }
  return std::nullopt;
}

std::string Schema::Nearest(std::string_view name) const {
  std::vector<std::string> names;
  for (const Field& field : fields_) names.push_back(field.name);
  return NearestName(name, names);
}

std::string Schema::ToString() const {
  std::string text = "[";
  for (const Field& field : fields_) {
    if (text.size() > 1) text += ", ";
    text += fmt::format("{} {}", field.name, field.type.ToString());
  }
  return text + "]";
}

std::string Schema::Problem() const {
  if (!problem_.empty()) return problem_;
  if (fields_.empty()) return "the schema has no fields";
  std::unordered_set<std::string_view> seen;
  for (const Field& field : fields_) {
    if (field.name.empty()) return "a field has an empty name";
    if (!seen.insert(field.name).second)
      return fmt::format("two fields are named '{}'", field.name);
    if (field.type.id == TypeId::kDecimal &&
        (field.type.precision < 1 || field.type.precision > 38 ||
         field.type.scale > field.type.precision)) {
      return fmt::format(
          "field '{}': {} is no decimal: the precision is 1 to 38, the scale 0 to the precision",
          field.name, field.type.ToString());
    }
    if (!field.path.empty() && field.path[0] != '/') {
      return fmt::format("field '{}': the path '{}' must be a JSON pointer, as /payload/after/id",
                         field.name, field.path);
    }
  }
  return "";
}

}  // namespace tidemark
