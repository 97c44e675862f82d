#include "tidemark/operators/formats/avro_schema.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "operators/formats/avro_bytes.h"

namespace tidemark {
namespace {

std::string Refusal(std::string_view text) {
  const auto schema = AvroSchema::Parse(text);
  if (schema.ok()) return "";
  EXPECT_TRUE(absl::IsInvalidArgument(schema.status()));
  const std::string message(schema.status().message());
  EXPECT_TRUE(message.starts_with("this is no Avro schema: ")) << message;
  return message.substr(24);
}

std::shared_ptr<const AvroSchema> Parse(std::string_view text) {
  auto schema = AvroSchema::Parse(text);
  EXPECT_TRUE(schema.ok()) << schema.status();
  return schema.ok() ? *schema : nullptr;
}

TEST(AvroSchemaTest, WhatIsNoSchemaIsSaidInOneSentence) {
  EXPECT_EQ(Refusal(""), "it is empty");
  EXPECT_EQ(Refusal(" \n"), "it is empty");
  EXPECT_TRUE(Refusal("syntax = \"proto3\";").starts_with("the JSON is wrong: "));
  EXPECT_TRUE(Refusal(R"({"type":"record")").starts_with("the JSON is wrong: "));
  EXPECT_TRUE(Refusal("\xff\xfe").starts_with("the JSON is wrong: "));
  EXPECT_EQ(Refusal(R"("long","b":"int")"), "more follows the JSON value");
  EXPECT_EQ(Refusal("17"), "a type is a name, an object or an array, not 17");
  EXPECT_EQ(Refusal(R"({"$schema":"http://json-schema.org/draft-07/schema#"})"),
            "an object in it has no \"type\"");
  EXPECT_EQ(Refusal(R"({"type":"object"})"), "the type 'object' is used but not defined before");
  EXPECT_EQ(Refusal(R"({"type":"record","fields":[]})"), "a type of kind 'record' has no name");
  EXPECT_EQ(Refusal(R"({"type":"record","name":"a b","fields":[]})"), "'a b' is no name of a type");
  EXPECT_EQ(Refusal(R"({"type":"record","name":"a"})"), "the record 'a' has no \"fields\"");
  EXPECT_EQ(Refusal(RecordSchema("7")), "a field of the record 'r' is no object");
  EXPECT_EQ(Refusal(RecordSchema(R"({"type":"int"})")),
            "a field of the record 'r' has no valid name");
  EXPECT_EQ(Refusal(RecordSchema(R"({"name":"a"})")), "the field 'a' of 'r' has no type");
  EXPECT_EQ(Refusal(RecordSchema(R"({"name":"a","type":"int"},{"name":"a","type":"int"})")),
            "the record 'r' has the field 'a' twice");
  EXPECT_EQ(Refusal(R"(["int",["null"]])"), "a union stands directly in a union");
  EXPECT_EQ(Refusal(R"(["int","int"])"), "a union has 'int' twice");
  EXPECT_EQ(Refusal("[]"), "a union is empty");
  EXPECT_EQ(Refusal(R"({"type":"array"})"), "a type of kind array has no \"items\"");
  EXPECT_EQ(Refusal(R"({"type":"map"})"), "a type of kind map has no \"values\"");
  EXPECT_EQ(Refusal(R"({"type":"fixed","name":"f","size":-1})"),
            "the fixed type 'f' has no valid \"size\"");
  EXPECT_EQ(Refusal(R"({"type":"fixed","name":"f","size":99999999999999})"),
            "the fixed type 'f' has no valid \"size\"");
  EXPECT_EQ(Refusal(R"({"type":"enum","name":"e"})"), "the enum 'e' has no \"symbols\"");
  EXPECT_EQ(Refusal(R"({"type":"enum","name":"e","symbols":["a","a"]})"),
            "the enum 'e' has the symbol 'a' twice");
  EXPECT_EQ(Refusal(R"({"type":"enum","name":"e","symbols":["a b"]})"),
            "a symbol of 'e' is no name");
  EXPECT_EQ(Refusal(R"({"type":"enum","name":"e","symbols":["a"],"default":"b"})"),
            "the default 'b' of the enum 'e' is none of its symbols");
  EXPECT_EQ(Refusal(RecordSchema(R"({"name":"a","type":{"type":"fixed","name":"r","size":1}})")),
            "the type 'r' is defined twice");
}

TEST(AvroSchemaTest, HugeSchemasAreRefused) {
  EXPECT_EQ(Refusal(std::string(AvroSchema::kMaxTextBytes + 1, ' ')),
            "it has 1048577 bytes; the limit is 1048576");
  std::string nested = "\"int\"";
  for (int i = 0; i < 300; ++i) nested = fmt::format(R"({{"type":"array","items":{}}})", nested);
  EXPECT_TRUE(Refusal(nested).starts_with("the JSON is wrong: ")) << Refusal(nested);
  std::string fields;
  for (size_t i = 0; i < AvroSchema::kMaxTypes; ++i) {
    fields += fmt::format(R"({}{{"name":"f{}","type":{{"type":"array","items":"int"}}}})",
                          i > 0 ? "," : "", i);
  }
  EXPECT_EQ(Refusal(RecordSchema(fields)), "it has more than 4096 types");
}

// One type that names the one before, and so on: as deep as can be without nesting.
TEST(AvroSchemaTest, AChainOfTypesMayBeLong) {
  std::string text = R"([{"type":"record","name":"t0","fields":[{"name":"a","type":"long"}]})";
  for (int i = 1; i < 4000; ++i) {
    text += fmt::format(
        R"(,{{"type":"record","name":"t{}","fields":[{{"name":"a","type":"t{}"}}]}})", i, i - 1);
  }
  EXPECT_NE(Parse(text + "]"), nullptr);
}

TEST(AvroSchemaTest, RecursionThatNeverEndsIsRefused) {
  const std::string refusal =
      "the record 'r' contains itself without a union, an array or a map between, so no value of "
      "it would ever end";
  EXPECT_EQ(Refusal(RecordSchema(R"({"name":"a","type":"r"})")), refusal);
  EXPECT_EQ(
      Refusal(RecordSchema(
          R"({"name":"a","type":{"type":"record","name":"q","fields":[{"name":"b","type":"r"}]}})")),
      refusal);
  EXPECT_EQ(Refusal(RecordSchema(R"({"name":"a","type":["null","r"]})")), "");
  EXPECT_EQ(Refusal(RecordSchema(R"({"name":"a","type":{"type":"array","items":"r"}})")), "");
}

TEST(AvroSchemaTest, Namespaces) {
  const auto schema =
      Parse(R"({"type":"record","name":"r","namespace":"a.b","aliases":["old","x.y"],
    "fields":[{"name":"f","type":{"type":"fixed","name":"g","size":2}},
              {"name":"h","type":{"type":"enum","name":"c.e","symbols":["s"]}},
              {"name":"i","type":"g"},{"name":"j","type":"a.b.g"},{"name":"k","type":"c.e"}]})");
  const AvroType& root = schema->root();
  EXPECT_EQ(root.name, "a.b.r");
  EXPECT_EQ(root.aliases, (std::vector<std::string>{"a.b.old", "x.y"}));
  EXPECT_EQ(root.fields[0].type->name, "a.b.g");
  EXPECT_EQ(root.fields[1].type->name, "c.e");
  EXPECT_EQ(root.fields[2].type, root.fields[0].type);
  EXPECT_EQ(root.fields[3].type, root.fields[0].type);
  EXPECT_EQ(root.fields[4].type, root.fields[1].type);
}

TEST(AvroSchemaTest, LogicalTypesThatDoNotFitAreIgnored) {
  const auto logical = [](std::string_view type) { return Parse(type)->root().ToString(); };
  EXPECT_EQ(logical(R"({"type":"int","logicalType":"date"})"), "int date");
  EXPECT_EQ(logical(R"({"type":"long","logicalType":"date"})"), "long");
  EXPECT_EQ(logical(R"({"type":"int","logicalType":"time-millis"})"), "int");
  EXPECT_EQ(logical(R"({"type":"long","logicalType":"timestamp-micros"})"),
            "long timestamp-micros");
  EXPECT_EQ(logical(R"({"type":"bytes","logicalType":"decimal","precision":10,"scale":2})"),
            "bytes decimal(10,2)");
  EXPECT_EQ(logical(R"({"type":"bytes","logicalType":"decimal","precision":2,"scale":3})"),
            "bytes");
  EXPECT_EQ(logical(R"({"type":"bytes","logicalType":"decimal"})"), "bytes");
  // Two bytes hold four digits, not five.
  EXPECT_EQ(
      logical(R"({"type":"fixed","name":"f","size":2,"logicalType":"decimal","precision":4})"),
      "fixed f decimal(4,0)");
  EXPECT_EQ(
      logical(R"({"type":"fixed","name":"f","size":2,"logicalType":"decimal","precision":5})"),
      "fixed f");
  EXPECT_EQ(logical(R"({"type":"string","logicalType":"uuid"})"), "string uuid");
  EXPECT_EQ(logical(R"({"type":{"type":"long","logicalType":"nonsense"}})"), "long");
}

TEST(AvroSchemaTest, Defaults) {
  const auto datum = [](std::string_view type, std::string_view value) -> std::string {
    const auto schema =
        Parse(RecordSchema(fmt::format(R"({{"name":"a","type":{},"default":{}}})", type, value)));
    const AvroField& field = schema->root().fields[0];
    return field.default_datum.has_value() ? *field.default_datum : field.default_problem;
  };
  EXPECT_EQ(datum("\"null\"", "null"), "");
  EXPECT_EQ(datum("\"boolean\"", "true"), "\x01");
  EXPECT_EQ(datum("\"int\"", "-3"), AvroBytes().Long(-3).str());
  EXPECT_EQ(datum("\"double\"", "1"), AvroBytes().Double(1).str());
  EXPECT_EQ(datum("\"float\"", "1.5"), AvroBytes().Float(1.5).str());
  EXPECT_EQ(datum("\"string\"", R"("\u00e9")"), AvroBytes().Text("\u00e9").str());
  EXPECT_EQ(datum("\"bytes\"", R"("a\u00ff")"), AvroBytes().Text("a\xff").str());
  EXPECT_EQ(datum(R"({"type":"fixed","name":"f","size":1})", R"("\u0080")"), "\x80");
  EXPECT_EQ(datum(R"({"type":"enum","name":"e","symbols":["x","y"]})", "\"y\""), "\x02");
  EXPECT_EQ(datum(R"(["null","int"])", "null"), std::string(1, '\0'));
  EXPECT_EQ(datum(R"(["null","int"])", "1"), "\x02\x02");
  EXPECT_EQ(datum(R"({"type":"array","items":"int"})", "[1,2]"),
            AvroBytes().Long(2).Long(1).Long(2).Long(0).str());
  EXPECT_EQ(datum(R"({"type":"map","values":"int"})", R"({"k":1})"),
            AvroBytes().Long(1).Text("k").Long(1).Long(0).str());
  EXPECT_EQ(datum(R"({"type":"record","name":"q","fields":[{"name":"b","type":"int","default":7},
                      {"name":"c","type":"int"}]})",
                  R"({"c":1})"),
            AvroBytes().Long(7).Long(1).str());
  EXPECT_EQ(datum("\"int\"", "null"), "its default null is no int");
  EXPECT_EQ(datum("\"int\"", "3000000000"), "its default 3000000000 is no int");
  EXPECT_EQ(datum("\"bytes\"", R"("\u0100")"), R"(its default "\u0100" is no bytes)");
  EXPECT_EQ(datum(R"({"type":"record","name":"q","fields":[{"name":"c","type":"int"}]})", "{}"),
            "its default {} is no record q");
  // A default that contains itself has no end.
  EXPECT_EQ(datum(R"(["r","null"])", "{}"), "its default {} is no [record r, null]");
}

TEST(AvroSchemaTest, CanonicalTextForgetsWhatDoesNotMatter) {
  const auto a = Parse(R"({"type":"record","doc":"x","name":"n.r","fields":[
    {"name":"a","type":{"type":"int"},"doc":"y"},{"name":"b","type":["null","string"],"default":null},
    {"name":"c","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"d","type":["null","n.r"]}]})");
  const auto b = Parse(
      R"({"namespace":"n","name":"r","fields":[{"type":"int","name":"a","order":"ignore"},
    {"default":null,"name":"b","type":["null",{"type":"string"}]},
    {"name":"c","type":{"logicalType":"timestamp-millis","type":"long"}},
    {"name":"d","type":["null","r"]}],"type":"record"})");
  EXPECT_EQ(a->canonical(), b->canonical());
  EXPECT_EQ(a->canonical(),
            R"({"name":"n.r","type":"record","fields":[{"name":"a","type":"int"},)"
            R"({"name":"b","type":["null","string"],"default":"AA=="},)"
            R"({"name":"c","type":{"type":"long","logicalType":"timestamp-millis"}},)"
            R"({"name":"d","type":["null","n.r"]}]})");
  EXPECT_TRUE(AvroSchema::Parse(a->canonical()).ok());
  EXPECT_NE(Parse(R"({"type":"enum","name":"e","symbols":["a"]})")->canonical(),
            Parse(R"({"type":"enum","name":"e","symbols":["a"],"default":"a"})")->canonical());
}

TEST(AvroSchemaTest, Widths) {
  const auto width = [](std::string_view fields) {
    return Parse(RecordSchema(fields))->root().width;
  };
  EXPECT_EQ(width(""), 0);
  EXPECT_EQ(width(R"({"name":"a","type":"null"},{"name":"b","type":"double"},
                     {"name":"c","type":"boolean"},{"name":"d","type":"float"})"),
            13);
  EXPECT_EQ(width(R"({"name":"a","type":"double"},{"name":"b","type":"int"})"), -1);
  // 2^60 doubles: the sum stops before it wraps.
  std::string nested = R"({"type":"record","name":"q0","fields":[{"name":"a","type":"double"}]})";
  std::string fields = fmt::format(R"({{"name":"f0","type":{}}})", nested);
  for (int i = 1; i <= 60; ++i) {
    fields += fmt::format(
        R"(,{{"name":"f{0}","type":{{"type":"record","name":"q{0}","fields":[{{"name":"a","type":"q{1}"}},{{"name":"b","type":"q{1}"}}]}}}})",
        i, i - 1);
  }
  EXPECT_EQ(width(fields), int64_t{1} << 40);
}

}  // namespace
}  // namespace tidemark
