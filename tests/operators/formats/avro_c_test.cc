// Our Avro against avro-c's: random schemas and values, read and written, with and without another
// reader's schema. Each test prints its seed; TIDEMARK_TEST_SEED repeats one.
#include <avro.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "operators/formats/avro_bytes.h"
#include "operators/formats/decode_text.h"
#include "tidemark/operators/formats/encoder.h"

namespace tidemark {
namespace {

uint64_t Seed() {
  const char* given = std::getenv("TIDEMARK_TEST_SEED");
  const uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

std::string JsonText(std::string_view text) {
  std::string json;
  AppendJsonString(text, &json);
  return json;
}

// A type as its schema, and what its values can be read as.
struct Type {
  enum Kind {
    kNull,
    kBoolean,
    kInt,
    kLong,
    kFloat,
    kDouble,
    kBytes,
    kString,
    kFixed,
    kEnum,
    kArray,
    kMap,
    kUnion,
    kRecord
  };
  Kind kind = kNull;
  std::string name;
  std::vector<std::string> fields;
  std::vector<Type> types;
  size_t size = 0;  // fixed; enum: symbols

  std::string Schema() const;
};

constexpr const char* kNames[] = {"null",   "boolean", "int",    "long",  "float",
                                  "double", "bytes",   "string", "fixed", "enum",
                                  "array",  "map",     "union",  "record"};

std::string Type::Schema() const {
  std::string text;
  switch (kind) {
    case kFixed:
      return fmt::format(R"({{"type":"fixed","name":"{}","size":{}}})", name, size);
    case kEnum:
      for (size_t i = 0; i < size; ++i) text += fmt::format("{}\"s{}\"", i > 0 ? "," : "", i);
      return fmt::format(R"({{"type":"enum","name":"{}","symbols":[{}]}})", name, text);
    case kArray:
      return fmt::format(R"({{"type":"array","items":{}}})", types[0].Schema());
    case kMap:
      return fmt::format(R"({{"type":"map","values":{}}})", types[0].Schema());
    case kUnion:
      for (const Type& type : types)
        text += fmt::format("{}{}", text.empty() ? "" : ",", type.Schema());
      return fmt::format("[{}]", text);
    case kRecord:
      for (size_t i = 0; i < fields.size(); ++i) {
        text += fmt::format(R"({}{{"name":"{}","type":{}}})", i > 0 ? "," : "", fields[i],
                            types[i].Schema());
      }
      return fmt::format(R"({{"type":"record","name":"{}","fields":[{}]}})", name, text);
    default:
      return fmt::format("\"{}\"", kNames[kind]);
  }
}

// Draws types and values.
class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}

  size_t Below(size_t n) { return random_() % n; }

  Type AnyType(size_t depth) {
    Type type;
    type.kind = static_cast<Type::Kind>(Below(depth == 0 ? Type::kArray : Type::kRecord + 1));
    type.name = fmt::format("t{}", ++names_);
    type.size = 1 + Below(type.kind == Type::kEnum ? 70 : 20);  // avro-c fails on an empty fixed
    if (type.kind == Type::kArray || type.kind == Type::kMap) {
      type.types.push_back(AnyType(depth - 1));
    } else if (type.kind == Type::kRecord) {
      return Record(depth - 1, 1 + Below(3));
    } else if (type.kind == Type::kUnion) {
      std::vector<int> seen;
      for (size_t i = 0, n = 1 + Below(4); i < n; ++i) {
        Type branch = AnyType(depth - 1);
        const bool is_named = branch.kind == Type::kFixed || branch.kind == Type::kEnum ||
                              branch.kind == Type::kRecord;
        if (branch.kind == Type::kUnion) continue;
        if (!is_named && std::count(seen.begin(), seen.end(), branch.kind) > 0) continue;
        seen.push_back(branch.kind);
        type.types.push_back(std::move(branch));
      }
      if (type.types.empty()) type.types.push_back(Type());
    }
    return type;
  }

  Type Record(size_t depth, size_t count) {
    Type type;
    type.kind = Type::kRecord;
    type.name = fmt::format("t{}", ++names_);
    for (size_t i = 0; i < count; ++i) {
      type.fields.push_back(fmt::format("f{}", i));
      type.types.push_back(AnyType(depth));
    }
    return type;
  }

  std::string Text(bool ascii) {
    std::string text;
    for (size_t i = 0, n = Below(5) == 0 ? Below(300) : Below(20); i < n; ++i) {
      text += ascii || Below(10) > 0 ? std::string(1, static_cast<char>('a' + Below(26)))
                                     : std::string("\u00e9\"\\\n").substr(0, 2);
    }
    return text;
  }
  std::string Bytes(size_t n) {
    std::string bytes;
    for (size_t i = 0; i < n; ++i) bytes.push_back(static_cast<char>(Below(256)));
    return bytes;
  }
  int64_t Long() { return static_cast<int64_t>(random_()) >> Below(64); }
  int32_t Int() { return static_cast<int32_t>(random_()) >> Below(32); }
  double Double() { return static_cast<double>(Long()) / static_cast<double>(1 + Below(1000)); }

 private:
  std::mt19937_64 random_;
  size_t names_ = 0;
};

// Sets `value` to something and returns its JSON; nulls as `null`.
std::string Fill(const Type& type, Draw* draw, avro_value_t* value);

std::string FillItems(const Type& type, Draw* draw, avro_value_t* value) {
  const bool is_map = type.kind == Type::kMap;
  std::string text;
  for (size_t i = 0, n = draw->Below(3) == 0 ? draw->Below(40) : draw->Below(4); i < n; ++i) {
    avro_value_t item;
    if (!text.empty()) text += ',';
    if (is_map) {
      const std::string key = std::to_string(i) + draw->Text(false);
      EXPECT_EQ(avro_value_add(value, key.c_str(), &item, nullptr, nullptr), 0);
      text += JsonText(key) + ":";
    } else {
      EXPECT_EQ(avro_value_append(value, &item, nullptr), 0);
    }
    text += Fill(type.types[0], draw, &item);
  }
  return is_map ? fmt::format("{{{}}}", text) : fmt::format("[{}]", text);
}

std::string FillScalar(const Type& type, Draw* draw, avro_value_t* value) {
  std::string text;
  switch (type.kind) {
    case Type::kNull:
      avro_value_set_null(value);
      return "null";
    case Type::kBoolean: {
      const bool is_true = draw->Below(2) == 1;
      avro_value_set_boolean(value, is_true);
      return is_true ? "true" : "false";
    }
    case Type::kInt: {
      const int32_t number = draw->Int();
      avro_value_set_int(value, number);
      return std::to_string(number);
    }
    case Type::kLong: {
      const int64_t number = draw->Long();
      avro_value_set_long(value, number);
      return std::to_string(number);
    }
    case Type::kFloat: {
      const auto number = static_cast<float>(draw->Double());
      avro_value_set_float(value, number);
      AppendDouble(static_cast<double>(number), &text);
      return text;
    }
    case Type::kDouble: {
      const double number = draw->Double();
      avro_value_set_double(value, number);
      AppendDouble(number, &text);
      return text;
    }
    case Type::kBytes:
    case Type::kFixed: {
      std::string bytes = draw->Bytes(type.kind == Type::kFixed ? type.size : draw->Below(200));
      if (type.kind == Type::kFixed) {
        avro_value_set_fixed(value, bytes.data(), bytes.size());
        AppendBase64(bytes, &text);
        return fmt::format("\"{}\"", text);
      }
      avro_value_set_bytes(value, bytes.data(), bytes.size());
      AppendBase64(bytes, &text);
      return fmt::format("\"{}\"", text);
    }
    case Type::kString: {
      const std::string drawn = draw->Text(false);
      avro_value_set_string_len(value, drawn.c_str(), drawn.size() + 1);
      return JsonText(drawn);
    }
    default: {
      const auto symbol = static_cast<int>(draw->Below(type.size));
      avro_value_set_enum(value, symbol);
      return fmt::format("\"s{}\"", symbol);
    }
  }
}

std::string Fill(const Type& type, Draw* draw, avro_value_t* value) {
  switch (type.kind) {
    case Type::kArray:
    case Type::kMap:
      return FillItems(type, draw, value);
    case Type::kUnion: {
      const size_t branch = draw->Below(type.types.size());
      avro_value_t chosen;
      EXPECT_EQ(avro_value_set_branch(value, static_cast<int>(branch), &chosen), 0);
      return Fill(type.types[branch], draw, &chosen);
    }
    case Type::kRecord: {
      std::string text;
      for (size_t i = 0; i < type.types.size(); ++i) {
        avro_value_t field;
        EXPECT_EQ(avro_value_get_by_index(value, i, &field, nullptr), 0);
        text += fmt::format("{}{}:{}", i > 0 ? "," : "", JsonText(type.fields[i]),
                            Fill(type.types[i], draw, &field));
      }
      return fmt::format("{{{}}}", text);
    }
    default:
      return FillScalar(type, draw, value);
  }
}

// avro-c's things with their ends.
class GenericValue {
 public:
  explicit GenericValue(const std::string& text) {
    EXPECT_EQ(avro_schema_from_json_length(text.data(), text.size(), &schema_), 0)
        << avro_strerror() << "\n"
        << text;
    type_ = avro_generic_class_from_schema(schema_);
    EXPECT_EQ(avro_generic_value_new(type_, &value_), 0);
  }
  ~GenericValue() {
    avro_value_decref(&value_);
    avro_value_iface_decref(type_);
    avro_schema_decref(schema_);
  }
  avro_value_t* value() { return &value_; }
  avro_schema_t schema() { return schema_; }

  std::string Write() {
    size_t size = 0;
    EXPECT_EQ(avro_value_sizeof(&value_, &size), 0);
    std::string bytes(size, '\0');
    avro_writer_t writer = avro_writer_memory(bytes.data(), static_cast<int64_t>(size));
    EXPECT_EQ(avro_value_write(writer, &value_), 0) << avro_strerror();
    avro_writer_free(writer);
    return bytes;
  }

 private:
  avro_schema_t schema_ = nullptr;
  avro_value_iface_t* type_ = nullptr;
  avro_value_t value_{};
};

// The column that a field goes into: of its own type half of the time.
void AddColumn(const Type& type, const std::string& name, Draw* draw, Schema* columns) {
  if (draw->Below(2) == 0) {
    switch (type.kind) {
      case Type::kBoolean:
        columns->Bool(name);
        return;
      case Type::kInt:
        columns->Int32(name);
        return;
      case Type::kLong:
        columns->Int64(name);
        return;
      case Type::kFloat:
      case Type::kDouble:
        columns->Double(name);
        return;
      default:
        break;
    }
  }
  if (type.kind == Type::kBytes) {
    columns->Bytes(name);
  } else {
    columns->String(name);
  }
}

// A value's JSON as the text of a column: without a string's quotes.
std::string CellJson(const Field& field, const std::string& json) {
  if (json == "null") return json;
  if (field.type == DataType::String()) return json[0] == '"' ? json : JsonText(json);
  return json;
}

TEST(AvroCTest, WhatAvroCWritesIsRead) {
  Draw draw(Seed());
  for (int round = 0; round < 2000; ++round) {
    const Type record = draw.Record(3, 1 + draw.Below(6));
    const std::string text = record.Schema();
    GenericValue generic(text);
    Schema columns;
    std::vector<size_t> wanted;
    for (size_t i = 0; i < record.fields.size(); ++i) {
      // Bytes are text in a string column, so inside others they are not asked for bare.
      const bool has_bytes_branch = record.types[i].kind == Type::kUnion &&
                                    std::ranges::any_of(record.types[i].types, [](const Type& t) {
                                      return t.kind == Type::kBytes;
                                    });
      if (draw.Below(3) == 0 || has_bytes_branch) continue;
      AddColumn(record.types[i], record.fields[i], &draw, &columns);
      wanted.push_back(i);
    }
    if (wanted.empty()) continue;
    std::vector<std::string> datums;
    std::string expected;
    for (int row = 0; row < 5; ++row) {
      avro_value_reset(generic.value());
      std::vector<std::string> cells;
      for (size_t i = 0; i < record.types.size(); ++i) {
        avro_value_t field;
        avro_value_get_by_index(generic.value(), i, &field, nullptr);
        cells.push_back(Fill(record.types[i], &draw, &field));
      }
      datums.push_back(generic.Write());
      std::string line;
      for (size_t i = 0; i < wanted.size(); ++i) {
        line += fmt::format("{}{}", i > 0 ? "," : "", CellJson(columns.field(i), cells[wanted[i]]));
      }
      expected += fmt::format("[{}]\n", line);
    }
    ASSERT_EQ(DecodeText(Avro(columns, {.writer_schema = text}), datums), expected) << text;
  }
}

// The same, but what is cut short is bad, whatever is taken or skipped. (avro-c leaks on such.)
TEST(AvroCTest, NoPrefixOfADatumIsADatum) {
  Draw draw(Seed());
  for (int round = 0; round < 400; ++round) {
    const Type record = draw.Record(3, 1 + draw.Below(4));
    const std::string text = record.Schema();
    GenericValue generic(text);
    Fill(record, &draw, generic.value());
    const std::string datum = generic.Write();
    std::vector<std::string> prefixes;
    for (size_t size = 0; size < datum.size(); size += 1 + draw.Below(1 + datum.size() / 20)) {
      prefixes.push_back(datum.substr(0, size));
    }
    for (bool taken : {false, true}) {
      const Schema columns = taken ? Schema().String("f0") : Schema().String("_corrupt_record");
      const auto decoder = MakeDecoder(Avro(columns, {.writer_schema = text}));
      ASSERT_TRUE(decoder.ok()) << decoder.status();
      TestRecords records(prefixes, draw.Below(2) == 0);
      std::vector<BadRecord> bad;
      (*decoder)->Decode(records.records(), false, &bad);
      ASSERT_EQ(bad.size(), prefixes.size()) << text;
    }
  }
}

// A reader's type that values of `type` are promoted to.
Type Promoted(const Type& type, Draw* draw) {
  Type to = type;
  if (type.kind == Type::kInt) to.kind = static_cast<Type::Kind>(Type::kInt + draw->Below(4));
  if (type.kind == Type::kLong) to.kind = static_cast<Type::Kind>(Type::kLong + draw->Below(3));
  if (type.kind == Type::kFloat) to.kind = static_cast<Type::Kind>(Type::kFloat + draw->Below(2));
  if (type.kind == Type::kArray || type.kind == Type::kMap) {
    to.types[0] = Promoted(type.types[0], draw);
  }
  return to;
}

std::string ReadBack(avro_value_t* value);

std::string ReadItems(avro_value_t* value, bool is_map) {
  std::string text;
  size_t size = 0;
  avro_value_get_size(value, &size);
  for (size_t i = 0; i < size; ++i) {
    avro_value_t item;
    const char* key = nullptr;
    avro_value_get_by_index(value, i, &item, &key);
    text +=
        fmt::format("{}{}{}", i > 0 ? "," : "", is_map ? JsonText(key) + ":" : "", ReadBack(&item));
  }
  return is_map ? fmt::format("{{{}}}", text) : fmt::format("[{}]", text);
}

// The JSON of what avro-c read.
std::string ReadBack(avro_value_t* value) {
  std::string text;
  const void* bytes = nullptr;
  const char* string = nullptr;
  size_t size = 0;
  int number = 0;
  int32_t narrow = 0;
  int64_t wide = 0;
  float single = 0;
  double fraction = 0;
  avro_value_t branch;
  switch (avro_value_get_type(value)) {
    case AVRO_NULL:
      return "null";
    case AVRO_BOOLEAN:
      avro_value_get_boolean(value, &number);
      return number != 0 ? "true" : "false";
    case AVRO_INT32:
      avro_value_get_int(value, &narrow);
      return std::to_string(narrow);
    case AVRO_INT64:
      avro_value_get_long(value, &wide);
      return std::to_string(wide);
    case AVRO_FLOAT:
      avro_value_get_float(value, &single);
      AppendDouble(static_cast<double>(single), &text);
      return text;
    case AVRO_DOUBLE:
      avro_value_get_double(value, &fraction);
      AppendDouble(fraction, &text);
      return text;
    case AVRO_BYTES:
      avro_value_get_bytes(value, &bytes, &size);
      AppendBase64({static_cast<const char*>(bytes), size}, &text);
      return fmt::format("\"{}\"", text);
    case AVRO_FIXED:
      avro_value_get_fixed(value, &bytes, &size);
      AppendBase64({static_cast<const char*>(bytes), size}, &text);
      return fmt::format("\"{}\"", text);
    case AVRO_STRING:
      avro_value_get_string(value, &string, &size);
      return JsonText({string, size - 1});
    case AVRO_ENUM:
      avro_value_get_enum(value, &number);
      return fmt::format("\"s{}\"", number);
    case AVRO_ARRAY:
      return ReadItems(value, false);
    case AVRO_MAP:
      return ReadItems(value, true);
    case AVRO_UNION:
      avro_value_get_current_branch(value, &branch);
      return ReadBack(&branch);
    default:
      return "?";
  }
}

TEST(AvroCTest, ResolutionGivesWhatAvroCGives) {
  Draw draw(Seed());
  for (int round = 0; round < 1500; ++round) {
    Type writer = draw.Record(0, 1 + draw.Below(6));
    for (Type& type : writer.types) {
      if (draw.Below(4) != 0) continue;
      Type array;
      array.kind = draw.Below(2) == 0 ? Type::kArray : Type::kMap;
      array.types.push_back(type);
      type = array;
    }
    Type reader = writer;
    for (Type& type : reader.types) type = Promoted(type, &draw);
    for (size_t i = reader.fields.size(); i > 1; --i) {
      const size_t j = draw.Below(i);
      std::swap(reader.fields[i - 1], reader.fields[j]);
      std::swap(reader.types[i - 1], reader.types[j]);
    }
    if (draw.Below(2) == 0) {
      reader.fields.pop_back();
      reader.types.pop_back();
    }
    if (reader.fields.empty()) continue;
    GenericValue written(writer.Schema());
    GenericValue read(reader.Schema());
    avro_value_iface_t* resolver = avro_resolved_writer_new(written.schema(), read.schema());
    ASSERT_NE(resolver, nullptr) << avro_strerror() << writer.Schema() << reader.Schema();
    avro_value_t resolved;
    avro_resolved_writer_new_value(resolver, &resolved);
    avro_resolved_writer_set_dest(&resolved, read.value());
    Fill(writer, &draw, written.value());
    const std::string datum = written.Write();
    avro_reader_t bytes = avro_reader_memory(datum.data(), static_cast<int64_t>(datum.size()));
    ASSERT_EQ(avro_value_read(bytes, &resolved), 0) << avro_strerror();

    Schema columns;
    std::string expected;
    for (size_t i = 0; i < reader.fields.size(); ++i) {
      AddColumn(reader.types[i], reader.fields[i], &draw, &columns);
      avro_value_t field;
      avro_value_get_by_index(read.value(), i, &field, nullptr);
      expected +=
          fmt::format("{}{}", i > 0 ? "," : "", CellJson(columns.field(i), ReadBack(&field)));
    }
    ASSERT_EQ(DecodeText(Avro(columns,
                              {.writer_schema = writer.Schema(), .reader_schema = reader.Schema()}),
                         {datum}),
              fmt::format("[{}]\n", expected))
        << writer.Schema() << "\n"
        << reader.Schema();
    avro_reader_free(bytes);
    avro_value_decref(&resolved);
    avro_value_iface_decref(resolver);
  }
}

// What is read from avro-c, written again, is the same bytes, and avro-c reads it.
TEST(AvroCTest, WhatIsWrittenAvroCReads) {
  Draw draw(Seed());
  for (int round = 0; round < 1500; ++round) {
    Type record = draw.Record(0, 1 + draw.Below(6));
    Schema columns;
    for (size_t i = 0; i < record.types.size(); ++i) {
      Type& type = record.types[i];
      // A column of null is of no type.
      if (type.kind == Type::kNull) type.kind = Type::kLong;
      const std::string& name = record.fields[i];
      switch (type.kind) {
        case Type::kBoolean:
          columns.Bool(name);
          break;
        case Type::kInt:
          columns.Int32(name);
          break;
        case Type::kLong:
          columns.Int64(name);
          break;
        case Type::kFloat:
        case Type::kDouble:
          columns.Double(name);
          break;
        case Type::kBytes:
        case Type::kFixed:
          columns.Bytes(name);
          break;
        default:
          columns.String(name);
      }
      if (draw.Below(3) == 0) {
        Type nullable;
        nullable.kind = Type::kUnion;
        nullable.types = {Type(), type};
        if (draw.Below(2) == 0) std::swap(nullable.types[0], nullable.types[1]);
        type = nullable;
      }
    }
    const std::string text = record.Schema();
    GenericValue generic(text);
    std::vector<std::string> datums;
    for (int row = 0; row < 4; ++row) {
      avro_value_reset(generic.value());
      Fill(record, &draw, generic.value());
      datums.push_back(generic.Write());
    }
    const FormatSpec spec = Avro(columns, {.writer_schema = text});
    const auto decoder = MakeDecoder(spec);
    ASSERT_TRUE(decoder.ok()) << decoder.status() << text;
    TestRecords records(datums, true);
    std::vector<BadRecord> bad;
    const RowBatch batch = (*decoder)->Decode(records.records(), false, &bad);
    const auto encoder = MakeEncoder(spec, columns);
    ASSERT_TRUE(encoder.ok()) << encoder.status() << text;
    std::string bytes;
    std::vector<size_t> ends;
    ASSERT_TRUE((*encoder)->Encode(batch, &bytes, &ends).ok());
    ASSERT_EQ(ends.size(), datums.size());
    size_t begin = 0;
    for (size_t i = 0; i < ends.size(); ++i) {
      ASSERT_EQ(bytes.substr(begin, ends[i] - begin), datums[i]) << text;
      begin = ends[i];
    }
  }
}

}  // namespace
}  // namespace tidemark
