#include "tidemark/operators/formats/avro_schemas.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "operators/formats/avro_bytes.h"
#include "operators/formats/decode_text.h"
#include "operators/formats/http_stand_in.h"

namespace tidemark {
namespace {

using Answer = HttpStandIn::Answer;

class AvroSchemasTest : public testing::Test {
 protected:
  AvroSchemasTest() {
    std::string pattern = testing::TempDir() + "avro_schemas.XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~AvroSchemasTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, std::string_view text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  std::string folder_;
};

std::string Kind(const absl::StatusOr<std::shared_ptr<const AvroSchema>>& schema) {
  return schema.ok() ? (*schema)->root().ToString() : schema.status().ToString();
}

TEST_F(AvroSchemasTest, TheMapComesBeforeTheFolderBeforeTheRegistry) {
  HttpStandIn server([](const std::string& head) {
    const bool known = head.find("/schemas/ids/3 ") != std::string::npos;
    return Answer{.status = known ? 200 : 404, .body = R"({"schema":"\"double\""})", .headers = ""};
  });
  Write("1.avsc", "\"int\"");
  Write("2.avsc", "\"float\"");
  AvroSchemas schemas(
      {.schemas_by_id = {{1, "\"long\""}}, .schema_folder = folder_, .registry_url = server.url()});
  EXPECT_TRUE(schemas.Check().ok());
  EXPECT_EQ(Kind(schemas.Find(1)), "long");
  EXPECT_EQ(Kind(schemas.Find(2)), "float");
  EXPECT_EQ(server.requests().size(), 0u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Kind(schemas.Find(3)), "double");
    EXPECT_EQ(Kind(schemas.Find(4)),
              fmt::format("NOT_FOUND: the schema registry {} does not know the schema id 4",
                          server.url()));
  }
  EXPECT_EQ(server.requests().size(), 2u);  // both are remembered
}

TEST_F(AvroSchemasTest, FilesThatAreNoSchemas) {
  Write("1.avsc", "no schema");
  std::filesystem::create_directory(folder_ + "/2.avsc");
  Write("3.avsc", std::string(AvroSchema::kMaxTextBytes + 1, ' '));
  AvroSchemas schemas({.schema_folder = folder_});
  EXPECT_TRUE(Kind(schemas.Find(1))
                  .starts_with("INVALID_ARGUMENT: schema 1: this is no Avro schema: the JSON"));
  EXPECT_EQ(Kind(schemas.Find(2)),
            fmt::format("INVALID_ARGUMENT: schema file {}/2.avsc: this is a folder", folder_));
  EXPECT_TRUE(Kind(schemas.Find(3)).find("it has more than 1048576 bytes") != std::string::npos);
  EXPECT_EQ(Kind(schemas.Find(4)), "NOT_FOUND: nobody knows the schema id 4");
  EXPECT_EQ(AvroSchemas({.schema_folder = folder_ + "/none"}).Check().message(),
            fmt::format("there is no schema folder {}/none", folder_));
}

TEST_F(AvroSchemasTest, ReadAvroSchemaFile) {
  const auto read = [](const std::string& path) {
    const auto text = ReadAvroSchemaFile(path);
    return text.ok() ? *text : text.status().ToString();
  };
  const std::string good = Write("good.avsc", " \"long\"\n");
  EXPECT_EQ(read(good), " \"long\"\n");
  EXPECT_EQ(read(folder_ + "/none.avsc"),
            fmt::format("INVALID_ARGUMENT: there is no schema file {}/none.avsc", folder_));
  EXPECT_EQ(read(folder_),
            fmt::format("INVALID_ARGUMENT: schema file {}: this is a folder", folder_));
  const std::string empty = Write("empty.avsc", "");
  EXPECT_EQ(read(empty), fmt::format("INVALID_ARGUMENT: schema file {}: this is no Avro schema: it "
                                     "is empty; name the .avsc file of the records",
                                     empty));
  const std::string recursive =
      Write("r.avsc", R"({"type":"record","name":"r","fields":[{"name":"a","type":"r"}]})");
  EXPECT_NE(read(recursive).find("contains itself"), std::string::npos);
  const std::string binary = Write("b.avsc", std::string("Obj\x01\x04\x00\xff", 7));
  EXPECT_NE(read(binary).find("this is no Avro schema: the JSON is wrong"), std::string::npos);
}

// All workers of a pipeline share what was looked up.
TEST_F(AvroSchemasTest, DecodersOfOneFormatAskOnce) {
  HttpStandIn server([](const std::string&) {
    return Answer{.status = 200,
                  .body = R"({"schema":"{\"type\":\"record\",\"name\":\"r\",\"fields\":)"
                          R"([{\"name\":\"a\",\"type\":\"long\"}]}"})",
                  .headers = ""};
  });
  const FormatSpec spec =
      Avro(Schema().Int64("a"), {.framing = AvroFraming::kConfluent, .registry_url = server.url()});
  std::vector<std::thread> workers;
  std::atomic<size_t> rows = 0;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&rows, copy = spec] {
      const auto decoder = MakeDecoder(copy);
      for (int round = 0; round < 10; ++round) {
        TestRecords records({Framed(9, "\x02"), Framed(9, "\x04")}, true);
        std::vector<BadRecord> bad;
        rows += (*decoder)->Decode(records.records(), false, &bad).num_rows();
        EXPECT_TRUE((*decoder)->status().ok());
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(rows, 80u);
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(AvroSchemasTest, AnOutageStopsDecodingAndItsEndLetsItGoOn) {
  std::atomic<int> status = 404;
  HttpStandIn server([&](const std::string&) {
    return Answer{.status = status,
                  .body = R"({"schema":"{\"type\":\"record\",\"name\":\"r\",\"fields\":)"
                          R"([{\"name\":\"a\",\"type\":\"long\"}]}"})",
                  .headers = ""};
  });
  const auto decoder =
      MakeDecoder(Avro(Schema().Int64("a"), {.framing = AvroFraming::kConfluent,
                                             .registry_url = server.url(),
                                             .registry_patience = absl::Milliseconds(300)}));
  ASSERT_TRUE(decoder.ok()) << decoder.status();
  const auto decode = [&](const std::vector<std::string>& values) {
    TestRecords records(values, true);
    std::vector<BadRecord> bad;
    const RowBatch batch = (*decoder)->Decode(records.records(), false, &bad);
    return (*decoder)->status().ok() ? Text(batch, bad) : (*decoder)->status().ToString();
  };
  EXPECT_EQ(decode({Framed(1, "\x02")}),
            fmt::format("bad 0 unknown_schema: the schema registry {} does not know the schema id "
                        "1\n",
                        server.url()));
  status = 500;
  EXPECT_EQ(decode({Framed(2, "\x02")}),
            fmt::format("UNAVAILABLE: the schema registry answers 500 to {}/schemas/ids/2",
                        server.url()));
  server.Close();
  EXPECT_TRUE(
      decode({Framed(2, "\x02")}).starts_with("UNAVAILABLE: the schema registry cannot be"));
  server.Reopen();
  status = 401;
  EXPECT_TRUE(decode({Framed(2, "\x02")}).starts_with("PERMISSION_DENIED: "));
  status = 418;
  EXPECT_TRUE(decode({Framed(2, "\x02")}).starts_with("INVALID_ARGUMENT: "));
  status = 200;
  EXPECT_EQ(decode({Framed(2, "\x02")}), "[1]\n");
  server.Close();
  EXPECT_EQ(decode({Framed(2, "\x04")}), "[2]\n");  // still known
}

}  // namespace
}  // namespace tidemark
