#include "tidemark/operators/formats/avro_schema.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "absl/strings/charconv.h"
#include "tidemark/operators/formats/avro_wire.h"
#include "tidemark/operators/formats/json_document.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr std::array<std::string_view, 14> kKindNames = {
    "null",   "boolean", "int",  "long",  "float", "double", "bytes",
    "string", "fixed",   "enum", "array", "map",   "union",  "record"};
constexpr size_t kPrimitives = 8;  // the first of them

constexpr std::array<std::string_view, 10> kLogicalNames = {"",
                                                            "date",
                                                            "timestamp-millis",
                                                            "timestamp-micros",
                                                            "timestamp-nanos",
                                                            "local-timestamp-millis",
                                                            "local-timestamp-micros",
                                                            "local-timestamp-nanos",
                                                            "decimal",
                                                            "uuid"};

// A width that no record reaches; sums stay below the end of int64.
constexpr int64_t kMaxWidth = int64_t{1} << 40;
// Of one default.
constexpr size_t kMaxDefaultBytes = AvroSchema::kMaxTextBytes;
constexpr int kMaxDefaultSteps = 100'000;
constexpr int kMaxDefaultDepth = 64;

bool IsName(std::string_view name) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !name.empty() && is_letter(name[0]) &&
         std::ranges::all_of(name, [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

bool IsFullName(std::string_view name) {
  while (true) {
    const size_t dot = name.find('.');
    if (!IsName(name.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    name.remove_prefix(dot + 1);
  }
}

std::string_view NamespaceOf(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(0, dot);
}

std::string Qualified(std::string_view name, std::string_view space) {
  if (space.empty() || name.find('.') != std::string_view::npos) return std::string(name);
  return fmt::format("{}.{}", space, name);
}

std::optional<int64_t> ReadInteger(std::string_view token) {
  int64_t value;
  const char* end = token.data() + token.size();
  const std::from_chars_result result = std::from_chars(token.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

// The most digits that every two's complement number of so many bytes has room for.
int64_t DecimalDigits(int64_t bytes) {
  return static_cast<int64_t>(std::floor(static_cast<double>(8 * bytes - 1) * std::log10(2.0)));
}

}  // namespace

class AvroSchemaParser {
 public:
  absl::StatusOr<std::shared_ptr<const AvroSchema>> Parse(std::string_view text);

 private:
  // The members of an object: the token of each value, by name.
  using Members = std::map<std::string, uint32_t, std::less<>>;

  // Each gives nullptr, or false, after setting problem_.
  const AvroType* ParseType(uint32_t token, const std::string& space);
  const AvroType* ParseObject(uint32_t token, const std::string& space);
  const AvroType* ParseUnion(uint32_t token, const std::string& space);
  const AvroType* ParseContainer(AvroKind kind, const Members& members, const std::string& space);
  const AvroType* ParseNamed(AvroKind kind, const Members& members, const std::string& space);
  bool ParseFields(const Members& members, AvroType* type);
  bool ParseField(uint32_t token, AvroType* type);
  bool ParseSymbols(const Members& members, AvroType* type);
  bool ParseAliases(const Members& members, const std::string& space,
                    std::vector<std::string>* aliases);
  const AvroType* ParseReference(std::string_view name, const std::string& space);
  const AvroType* Primitive(AvroKind kind, const Members& members);
  void SetLogical(const Members& members, AvroType* type) const;
  bool SetWidth(AvroType* type);
  void SetDefaults();
  bool AppendDefault(const AvroType& type, uint32_t token, int depth, std::string* datum);
  bool AppendDefaultScalar(const AvroType& type, uint32_t token, std::string* datum);
  bool AppendDefaultBytes(const AvroType& type, uint32_t token, std::string* datum);
  bool AppendDefaultRecord(const AvroType& type, uint32_t token, int depth, std::string* datum);
  bool AppendDefaultItems(const AvroType& type, uint32_t token, int depth, std::string* datum);

  AvroType* NewType(AvroKind kind);
  bool Fail(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    return false;
  }
  std::nullptr_t FailType(std::string problem) {
    Fail(std::move(problem));
    return nullptr;
  }

  Members ReadMembers(uint32_t token) const;
  // The tokens of an array's elements.
  std::vector<uint32_t> ReadElements(uint32_t token) const;
  bool IsString(uint32_t token) const { return json_.Kind(token) == '"'; }
  std::string String(uint32_t token) const;
  std::string_view Token(uint32_t token) const { return json_.Text(token, json_.Skip(token)); }
  // The text of member `name` if there is one and it is a string.
  std::optional<std::string> StringMember(const Members& members, std::string_view name) const;
  std::optional<int64_t> IntegerMember(const Members& members, std::string_view name) const;

  JsonDocument json_{AvroSchema::kMaxNesting};
  std::shared_ptr<AvroSchema> schema_;
  std::array<const AvroType*, kPrimitives> primitives_{};
  std::map<std::string, AvroType*, std::less<>> named_;
  struct Default {
    AvroType* record;
    size_t field;
    uint32_t token;
  };
  std::vector<Default> defaults_;
  std::unordered_map<const AvroField*, uint32_t> default_tokens_;
  std::set<const AvroType*> sizing_;
  std::set<const AvroType*> sized_;
  int default_steps_ = 0;
  std::string problem_;
};

AvroSchemaParser::Members AvroSchemaParser::ReadMembers(uint32_t token) const {
  Members members;
  for (uint32_t i = token + 1; json_.Kind(i) != '}';) {
    const uint32_t value = i + 2;
    members[String(i)] = value;
    i = json_.Skip(value);
    if (json_.Kind(i) == ',') ++i;
  }
  return members;
}

std::vector<uint32_t> AvroSchemaParser::ReadElements(uint32_t token) const {
  std::vector<uint32_t> elements;
  for (uint32_t i = token + 1; json_.Kind(i) != ']';) {
    elements.push_back(i);
    i = json_.Skip(i);
    if (json_.Kind(i) == ',') ++i;
  }
  return elements;
}

std::string AvroSchemaParser::String(uint32_t token) const {
  const std::string_view quoted = json_.Quoted(token);
  std::string text(quoted.size(), '\0');
  text.resize(UnescapeJson(quoted, text.data()));
  return text;
}

std::optional<std::string> AvroSchemaParser::StringMember(const Members& members,
                                                          std::string_view name) const {
  const auto member = members.find(name);
  if (member == members.end() || !IsString(member->second)) return std::nullopt;
  return String(member->second);
}

std::optional<int64_t> AvroSchemaParser::IntegerMember(const Members& members,
                                                       std::string_view name) const {
  const auto member = members.find(name);
  if (member == members.end()) return std::nullopt;
  return ReadInteger(Token(member->second));
}

AvroType* AvroSchemaParser::NewType(AvroKind kind) {
  if (schema_->types_.size() == AvroSchema::kMaxTypes) {
    return FailType(fmt::format("it has more than {} types", AvroSchema::kMaxTypes));
  }
  schema_->types_.emplace_back().kind = kind;
  return &schema_->types_.back();
}

const AvroType* AvroSchemaParser::ParseType(uint32_t token, const std::string& space) {
  switch (json_.Kind(token)) {
    case '"':
      return ParseReference(String(token), space);
    case '[':
      return ParseUnion(token, space);
    case '{':
      return ParseObject(token, space);
    default:
      return FailType(fmt::format("a type is a name, an object or an array, not {}",
                                  Token(token).substr(0, 64)));
  }
}

const AvroType* AvroSchemaParser::ParseReference(std::string_view name, const std::string& space) {
  for (size_t i = 0; i < kPrimitives; ++i) {
    if (name == kKindNames[i]) return Primitive(static_cast<AvroKind>(i), {});
  }
  auto named = named_.find(Qualified(name, space));
  if (named == named_.end()) named = named_.find(name);
  if (named == named_.end()) {
    return FailType(
        fmt::format("the type '{}' is used but not defined before", name.substr(0, 200)));
  }
  return named->second;
}

const AvroType* AvroSchemaParser::Primitive(AvroKind kind, const Members& members) {
  const AvroType*& plain = primitives_[static_cast<size_t>(kind)];
  if (members.find("logicalType") == members.end()) {
    if (plain == nullptr) plain = NewType(kind);
    return plain;
  }
  AvroType* type = NewType(kind);
  if (type != nullptr) SetLogical(members, type);
  return type;
}

const AvroType* AvroSchemaParser::ParseObject(uint32_t token, const std::string& space) {
  const Members members = ReadMembers(token);
  const auto type = members.find("type");
  if (type == members.end()) return FailType("an object in it has no \"type\"");
  if (!IsString(type->second)) return ParseType(type->second, space);
  const std::string word = String(type->second);
  if (word == "record" || word == "error") return ParseNamed(AvroKind::kRecord, members, space);
  if (word == "enum") return ParseNamed(AvroKind::kEnum, members, space);
  if (word == "fixed") return ParseNamed(AvroKind::kFixed, members, space);
  if (word == "array") return ParseContainer(AvroKind::kArray, members, space);
  if (word == "map") return ParseContainer(AvroKind::kMap, members, space);
  for (size_t i = 0; i < kPrimitives; ++i) {
    if (word == kKindNames[i]) return Primitive(static_cast<AvroKind>(i), members);
  }
  return ParseReference(word, space);
}

const AvroType* AvroSchemaParser::ParseUnion(uint32_t token, const std::string& space) {
  AvroType* type = NewType(AvroKind::kUnion);
  if (type == nullptr) return nullptr;
  std::set<std::string> seen;
  for (uint32_t element : ReadElements(token)) {
    const AvroType* branch = ParseType(element, space);
    if (branch == nullptr) return nullptr;
    if (branch->kind == AvroKind::kUnion) return FailType("a union stands directly in a union");
    const std::string name = branch->name.empty()
                                 ? std::string(kKindNames[static_cast<size_t>(branch->kind)])
                                 : branch->name;
    if (!seen.insert(name).second) return FailType(fmt::format("a union has '{}' twice", name));
    type->types.push_back(branch);
  }
  if (type->types.empty()) return FailType("a union is empty");
  return type;
}

const AvroType* AvroSchemaParser::ParseContainer(AvroKind kind, const Members& members,
                                                 const std::string& space) {
  const std::string_view word = kind == AvroKind::kArray ? "items" : "values";
  const auto items = members.find(word);
  if (items == members.end()) {
    return FailType(fmt::format("a type of kind {} has no \"{}\"",
                                kKindNames[static_cast<size_t>(kind)], word));
  }
  AvroType* type = NewType(kind);
  if (type == nullptr) return nullptr;
  const AvroType* item = ParseType(items->second, space);
  if (item == nullptr) return nullptr;
  type->types.push_back(item);
  return type;
}

bool AvroSchemaParser::ParseAliases(const Members& members, const std::string& space,
                                    std::vector<std::string>* aliases) {
  const auto member = members.find("aliases");
  if (member == members.end() || json_.Kind(member->second) != '[') return true;
  for (uint32_t element : ReadElements(member->second)) {
    if (!IsString(element)) return Fail("an alias is no string");
    aliases->push_back(Qualified(String(element), space));
  }
  return true;
}

const AvroType* AvroSchemaParser::ParseNamed(AvroKind kind, const Members& members,
                                             const std::string& space) {
  const std::string_view word = kKindNames[static_cast<size_t>(kind)];
  const std::optional<std::string> name = StringMember(members, "name");
  if (!name.has_value()) return FailType(fmt::format("a type of kind '{}' has no name", word));
  const std::optional<std::string> own_space = StringMember(members, "namespace");
  AvroType* type = NewType(kind);
  if (type == nullptr) return nullptr;
  type->name = Qualified(*name, own_space.value_or(space));
  if (!IsFullName(type->name)) {
    return FailType(fmt::format("'{}' is no name of a type", type->name.substr(0, 200)));
  }
  if (!named_.emplace(type->name, type).second) {
    return FailType(fmt::format("the type '{}' is defined twice", type->name));
  }
  if (!ParseAliases(members, std::string(NamespaceOf(type->name)), &type->aliases)) return nullptr;
  if (kind == AvroKind::kRecord) return ParseFields(members, type) ? type : nullptr;
  if (kind == AvroKind::kEnum) return ParseSymbols(members, type) ? type : nullptr;
  const std::optional<int64_t> size = IntegerMember(members, "size");
  if (!size.has_value() || *size < 0 || *size > kMaxWidth) {
    return FailType(fmt::format("the fixed type '{}' has no valid \"size\"", type->name));
  }
  type->width = *size;
  SetLogical(members, type);
  return type;
}

bool AvroSchemaParser::ParseFields(const Members& members, AvroType* type) {
  const auto fields = members.find("fields");
  if (fields == members.end() || json_.Kind(fields->second) != '[') {
    return Fail(fmt::format("the record '{}' has no \"fields\"", type->name));
  }
  for (uint32_t element : ReadElements(fields->second)) {
    if (!ParseField(element, type)) return false;
  }
  std::set<std::string_view> seen;
  for (const AvroField& field : type->fields) {
    if (!seen.insert(field.name).second) {
      return Fail(fmt::format("the record '{}' has the field '{}' twice", type->name, field.name));
    }
  }
  return true;
}

bool AvroSchemaParser::ParseField(uint32_t token, AvroType* type) {
  if (json_.Kind(token) != '{') {
    return Fail(fmt::format("a field of the record '{}' is no object", type->name));
  }
  const Members members = ReadMembers(token);
  const std::optional<std::string> name = StringMember(members, "name");
  if (!name.has_value() || !IsName(*name)) {
    return Fail(fmt::format("a field of the record '{}' has no valid name", type->name));
  }
  const auto type_member = members.find("type");
  if (type_member == members.end()) {
    return Fail(fmt::format("the field '{}' of '{}' has no type", *name, type->name));
  }
  AvroField field;
  field.name = *name;
  field.type = ParseType(type_member->second, std::string(NamespaceOf(type->name)));
  if (field.type == nullptr || !ParseAliases(members, "", &field.aliases)) return false;
  type->fields.push_back(std::move(field));
  if (const auto value = members.find("default"); value != members.end()) {
    defaults_.push_back({type, type->fields.size() - 1, value->second});
  }
  return true;
}

bool AvroSchemaParser::ParseSymbols(const Members& members, AvroType* type) {
  const auto symbols = members.find("symbols");
  if (symbols == members.end() || json_.Kind(symbols->second) != '[') {
    return Fail(fmt::format("the enum '{}' has no \"symbols\"", type->name));
  }
  std::set<std::string> seen;
  for (uint32_t element : ReadElements(symbols->second)) {
    const std::string symbol = IsString(element) ? String(element) : "";
    if (!IsName(symbol)) return Fail(fmt::format("a symbol of '{}' is no name", type->name));
    if (!seen.insert(symbol).second) {
      return Fail(fmt::format("the enum '{}' has the symbol '{}' twice", type->name, symbol));
    }
    type->symbols.push_back(symbol);
  }
  const std::optional<std::string> fallback = StringMember(members, "default");
  if (!fallback.has_value()) return true;
  const auto symbol = std::ranges::find(type->symbols, *fallback);
  if (symbol == type->symbols.end()) {
    return Fail(fmt::format("the default '{}' of the enum '{}' is none of its symbols",
                            fallback->substr(0, 200), type->name));
  }
  type->default_symbol = static_cast<size_t>(symbol - type->symbols.begin());
  return true;
}

void AvroSchemaParser::SetLogical(const Members& members, AvroType* type) const {
  const std::optional<std::string> name = StringMember(members, "logicalType");
  if (!name.has_value() || name->empty()) return;
  const auto known = std::ranges::find(kLogicalNames, *name);
  if (known == kLogicalNames.end()) return;
  const auto logical = static_cast<AvroLogical>(known - kLogicalNames.begin());
  const AvroKind kind = type->kind;
  bool fits = false;
  if (logical == AvroLogical::kDate) {
    fits = kind == AvroKind::kInt;
  } else if (logical == AvroLogical::kUuid) {
    fits = kind == AvroKind::kString || (kind == AvroKind::kFixed && type->width == 16);
  } else if (logical == AvroLogical::kDecimal) {
    const int64_t precision = IntegerMember(members, "precision").value_or(0);
    const int64_t scale = IntegerMember(members, "scale").value_or(0);
    const int64_t most = kind == AvroKind::kBytes ? INT32_MAX
                         : kind == AvroKind::kFixed
                             ? std::min<int64_t>(DecimalDigits(type->width), INT32_MAX)
                             : 0;
    fits = precision >= 1 && precision <= most && scale >= 0 && scale <= precision;
    if (fits) {
      type->precision = static_cast<int>(precision);
      type->scale = static_cast<int>(scale);
    }
  } else {
    fits = kind == AvroKind::kLong;
  }
  if (fits) type->logical = logical;
}

// Also finds records that always contain themselves. Through unions, arrays and maps it goes no
// further: their values differ in width, and may end.
bool AvroSchemaParser::SetWidth(AvroType* type) {
  if (sized_.contains(type)) return true;
  if (!sizing_.insert(type).second) {
    return Fail(
        fmt::format("the record '{}' contains itself without a union, an array or a map between, "
                    "so no value of it would ever end",
                    type->name));
  }
  int64_t width = 0;
  for (const AvroField& field : type->fields) {
    if (field.type->kind == AvroKind::kRecord && !SetWidth(named_.find(field.type->name)->second)) {
      return false;
    }
    width = width < 0 || field.type->width < 0 ? AvroType::kVariable
                                               : std::min(width + field.type->width, kMaxWidth);
  }
  type->width = width;
  sizing_.erase(type);
  sized_.insert(type);
  return true;
}

void AvroSchemaParser::SetDefaults() {
  for (const Default& value : defaults_) {
    default_tokens_[&value.record->fields[value.field]] = value.token;
  }
  for (const Default& value : defaults_) {
    AvroField& field = value.record->fields[value.field];
    std::string datum;
    default_steps_ = 0;
    if (AppendDefault(*field.type, value.token, 0, &datum)) {
      field.default_datum = std::move(datum);
    } else {
      field.default_problem = fmt::format("its default {} is no {}",
                                          Token(value.token).substr(0, 64), field.type->ToString());
    }
  }
}

bool AvroSchemaParser::AppendDefault(const AvroType& type, uint32_t token, int depth,
                                     std::string* datum) {
  if (depth > kMaxDefaultDepth || ++default_steps_ > kMaxDefaultSteps ||
      datum->size() > kMaxDefaultBytes) {
    return false;
  }
  switch (type.kind) {
    case AvroKind::kBytes:
    case AvroKind::kFixed:
      return AppendDefaultBytes(type, token, datum);
    case AvroKind::kRecord:
      return AppendDefaultRecord(type, token, depth, datum);
    case AvroKind::kArray:
    case AvroKind::kMap:
      return AppendDefaultItems(type, token, depth, datum);
    case AvroKind::kUnion:
      // The first branch by Avro 1.11, any by 1.12.
      for (size_t i = 0; i < type.types.size(); ++i) {
        std::string branch;
        AppendAvroLong(static_cast<int64_t>(i), &branch);
        if (!AppendDefault(*type.types[i], token, depth + 1, &branch)) continue;
        datum->append(branch);
        return true;
      }
      return false;
    default:
      return AppendDefaultScalar(type, token, datum);
  }
}

bool AvroSchemaParser::AppendDefaultScalar(const AvroType& type, uint32_t token,
                                           std::string* datum) {
  const std::string_view text = Token(token);
  switch (type.kind) {
    case AvroKind::kNull:
      return text == "null";
    case AvroKind::kBoolean:
      if (text != "true" && text != "false") return false;
      datum->push_back(text == "true" ? 1 : 0);
      return true;
    case AvroKind::kInt:
    case AvroKind::kLong: {
      const std::optional<int64_t> value = ReadInteger(text);
      if (!value.has_value()) return false;
      if (type.kind == AvroKind::kInt && *value != static_cast<int32_t>(*value)) return false;
      AppendAvroLong(*value, datum);
      return true;
    }
    case AvroKind::kFloat:
    case AvroKind::kDouble: {
      if (text[0] != '-' && (text[0] < '0' || text[0] > '9')) return false;
      double value;
      absl::from_chars(text.data(), text.data() + text.size(), value);
      if (type.kind == AvroKind::kFloat) {
        AppendAvroRaw(static_cast<float>(value), datum);
      } else {
        AppendAvroRaw(value, datum);
      }
      return true;
    }
    case AvroKind::kString:
      if (!IsString(token)) return false;
      AppendAvroBytes(String(token), datum);
      return true;
    case AvroKind::kEnum: {
      if (!IsString(token)) return false;
      const auto symbol = std::ranges::find(type.symbols, String(token));
      if (symbol == type.symbols.end()) return false;
      AppendAvroLong(symbol - type.symbols.begin(), datum);
      return true;
    }
    default:
      return false;
  }
}

// Each character of the string, up to U+00FF, is a byte.
bool AvroSchemaParser::AppendDefaultBytes(const AvroType& type, uint32_t token,
                                          std::string* datum) {
  if (!IsString(token)) return false;
  const std::string text = String(token);
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      bytes.push_back(text[i]);
    } else if (byte == 0xC2 || byte == 0xC3) {
      bytes.push_back(static_cast<char>((byte & 3) << 6 | (text[++i] & 0x3F)));
    } else {
      return false;
    }
  }
  if (type.kind == AvroKind::kBytes) {
    AppendAvroBytes(bytes, datum);
    return true;
  }
  datum->append(bytes);
  return static_cast<int64_t>(bytes.size()) == type.width;
}

bool AvroSchemaParser::AppendDefaultRecord(const AvroType& type, uint32_t token, int depth,
                                           std::string* datum) {
  if (json_.Kind(token) != '{') return false;
  const Members members = ReadMembers(token);
  for (const AvroField& field : type.fields) {
    uint32_t value;
    if (const auto member = members.find(field.name); member != members.end()) {
      value = member->second;
    } else if (const auto own = default_tokens_.find(&field); own != default_tokens_.end()) {
      value = own->second;
    } else {
      return false;
    }
    if (!AppendDefault(*field.type, value, depth + 1, datum)) return false;
  }
  return true;
}

bool AvroSchemaParser::AppendDefaultItems(const AvroType& type, uint32_t token, int depth,
                                          std::string* datum) {
  const bool is_map = type.kind == AvroKind::kMap;
  if (json_.Kind(token) != (is_map ? '{' : '[')) return false;
  std::string items;
  int64_t count = 0;
  if (is_map) {
    for (const auto& [name, value] : ReadMembers(token)) {
      AppendAvroBytes(name, &items);
      if (!AppendDefault(*type.types[0], value, depth + 1, &items)) return false;
      ++count;
    }
  } else {
    for (uint32_t element : ReadElements(token)) {
      if (!AppendDefault(*type.types[0], element, depth + 1, &items)) return false;
      ++count;
    }
  }
  if (count > 0) {
    AppendAvroLong(count, datum);
    datum->append(items);
  }
  AppendAvroLong(0, datum);
  return true;
}

namespace {

// Writes AvroSchema::canonical().
class CanonicalWriter {
 public:
  std::string Write(const AvroType& type) {
    Add(type);
    return std::move(text_);
  }

 private:
  void Add(const AvroType& type) {
    if (!type.name.empty() && !seen_.insert(type.name).second) return Quote(type.name);
    switch (type.kind) {
      case AvroKind::kUnion:
        text_ += '[';
        for (size_t i = 0; i < type.types.size(); ++i) {
          if (i > 0) text_ += ',';
          Add(*type.types[i]);
        }
        text_ += ']';
        return;
      case AvroKind::kArray:
      case AvroKind::kMap:
        text_ += type.kind == AvroKind::kArray ? R"({"type":"array","items":)"
                                               : R"({"type":"map","values":)";
        Add(*type.types[0]);
        text_ += '}';
        return;
      default:
        AddScalarOrNamed(type);
    }
  }

  void AddScalarOrNamed(const AvroType& type) {
    const std::string_view kind = kKindNames[static_cast<size_t>(type.kind)];
    if (type.name.empty() && type.logical == AvroLogical::kNone) return Quote(kind);
    text_ += '{';
    if (!type.name.empty()) Member("name", type.name);
    Member("type", kind);
    if (!type.aliases.empty()) Strings("aliases", type.aliases);
    if (type.kind == AvroKind::kEnum) Strings("symbols", type.symbols);
    if (type.default_symbol.has_value()) Member("default", type.symbols[*type.default_symbol]);
    if (type.kind == AvroKind::kFixed) text_ += fmt::format(",\"size\":{}", type.width);
    if (type.logical != AvroLogical::kNone) {
      Member("logicalType", kLogicalNames[static_cast<size_t>(type.logical)]);
    }
    if (type.logical == AvroLogical::kDecimal) {
      text_ += fmt::format(",\"precision\":{},\"scale\":{}", type.precision, type.scale);
    }
    if (type.kind == AvroKind::kRecord) AddFields(type);
    text_ += '}';
  }

  void AddFields(const AvroType& type) {
    text_ += ",\"fields\":[";
    for (const AvroField& field : type.fields) {
      if (&field != &type.fields[0]) text_ += ',';
      text_ += '{';
      Member("name", field.name);
      if (!field.aliases.empty()) Strings("aliases", field.aliases);
      text_ += ",\"type\":";
      Add(*field.type);
      if (field.default_datum.has_value()) {
        text_ += ",\"default\":\"";
        AppendBase64(*field.default_datum, &text_);
        text_ += '"';
      }
      text_ += '}';
    }
    text_ += ']';
  }

  void Quote(std::string_view text) { AppendJsonString(text, &text_); }
  void Member(std::string_view name, std::string_view value) {
    if (text_.back() != '{') text_ += ',';
    Quote(name);
    text_ += ':';
    Quote(value);
  }
  void Strings(std::string_view name, const std::vector<std::string>& values) {
    text_ += ',';
    Quote(name);
    text_ += ":[";
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) text_ += ',';
      Quote(values[i]);
    }
    text_ += ']';
  }

  std::set<std::string_view> seen_;
  std::string text_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const AvroSchema>> AvroSchemaParser::Parse(std::string_view text) {
  const auto refuse = [](std::string_view problem) {
    return absl::InvalidArgumentError(fmt::format("this is no Avro schema: {}", problem));
  };
  if (text.size() > AvroSchema::kMaxTextBytes) {
    return refuse(
        fmt::format("it has {} bytes; the limit is {}", text.size(), AvroSchema::kMaxTextBytes));
  }
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return refuse("it is empty");
  // JsonDocument reads objects; a schema may also be a bare name or a union.
  constexpr uint32_t kFirstToken = 3;
  const std::string object = fmt::format("{{\"\":{}}}", text);
  if (const auto error = json_.Parse(object, false); error.has_value()) {
    return refuse(fmt::format("the JSON is wrong: {}", error->detail));
  }
  if (json_.Kind(json_.Skip(kFirstToken)) != '}') return refuse("more follows the JSON value");

  schema_ = std::shared_ptr<AvroSchema>(new AvroSchema());
  const AvroType* root = ParseType(kFirstToken, "");
  if (root == nullptr) return refuse(problem_);
  for (AvroType& type : schema_->types_) {
    switch (type.kind) {
      case AvroKind::kNull:
        type.width = 0;
        break;
      case AvroKind::kBoolean:
        type.width = 1;
        break;
      case AvroKind::kFloat:
        type.width = sizeof(float);
        break;
      case AvroKind::kDouble:
        type.width = sizeof(double);
        break;
      default:
        break;
    }
  }
  for (AvroType& type : schema_->types_) {
    if (type.kind == AvroKind::kRecord && !SetWidth(&type)) return refuse(problem_);
  }
  SetDefaults();
  schema_->root_ = root;
  schema_->canonical_ = CanonicalWriter().Write(*root);
  return std::move(schema_);
}

absl::StatusOr<std::shared_ptr<const AvroSchema>> AvroSchema::Parse(std::string_view text) {
  return AvroSchemaParser().Parse(text);
}

std::string AvroType::ToString() const {
  std::string text(kKindNames[static_cast<size_t>(kind)]);
  switch (kind) {
    case AvroKind::kRecord:
    case AvroKind::kEnum:
    case AvroKind::kFixed:
      text += " " + name;
      break;
    case AvroKind::kArray:
    case AvroKind::kMap:
      // Not further: a type may contain itself.
      text += " of " + (types[0]->name.empty()
                            ? std::string(kKindNames[static_cast<size_t>(types[0]->kind)])
                            : types[0]->name);
      break;
    case AvroKind::kUnion: {
      std::vector<std::string> names;
      for (const AvroType* branch : types) {
        names.push_back(branch->kind == AvroKind::kUnion ? "union" : branch->ToString());
      }
      return fmt::format("[{}]", fmt::join(names, ", "));
    }
    default:
      break;
  }
  if (logical == AvroLogical::kDecimal) {
    text += fmt::format(" decimal({},{})", precision, scale);
  } else if (logical != AvroLogical::kNone) {
    text += fmt::format(" {}", kLogicalNames[static_cast<size_t>(logical)]);
  }
  return text;
}

std::string_view UnqualifiedAvroName(std::string_view name) {
  return name.substr(name.rfind('.') + 1);
}

}  // namespace tidemark
