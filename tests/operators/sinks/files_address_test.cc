#include "tidemark/operators/sinks/files_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(FilesAddressTest, AFolderAndItsPartitions) {
  EXPECT_EQ(ParseFilesAddress("out/a b")->folder, "out/a b");
  EXPECT_THAT(ParseFilesAddress("out")->partition_by, IsEmpty());
  EXPECT_EQ(ParseFilesAddress("/out?partition_by=date")->folder, "/out");
  EXPECT_THAT(ParseFilesAddress("out?partition_by=date")->partition_by, ElementsAre("date"));
  EXPECT_THAT(ParseFilesAddress("out?partition_by=a,b c")->partition_by, ElementsAre("a", "b c"));
}

TEST(FilesAddressTest, WhatIsWrongIsSaid) {
  const auto problem = [](const char* text) {
    return std::string(ParseFilesAddress(text).status().message());
  };
  EXPECT_THAT(problem(""), HasSubstr("no folder"));
  EXPECT_THAT(problem("?partition_by=a"), HasSubstr("no folder"));
  for (const char* text : {"out?", "out?partition=a", "out?partition_by=a&mode=x"}) {
    EXPECT_THAT(problem(text), HasSubstr("partition_by=COLUMN")) << text;
  }
  for (const char* text : {"out?partition_by=", "out?partition_by=a,", "out?partition_by=,a"}) {
    EXPECT_THAT(problem(text), HasSubstr("empty column name")) << text;
  }
}

}  // namespace
}  // namespace tidemark
