#include "tidemark/operators/sources/mysql_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "operators/sources/polling_driver.h"
#include "tests/servers/mariadb_server.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::MariaDbServer;
using ::testing::Not;
using Row = PollingDriver::Row;

#define ASSERT_OK(expression)                    \
  do {                                           \
    const absl::Status ok_status = (expression); \
    ASSERT_TRUE(ok_status.ok()) << ok_status;    \
  } while (false)

class MySqlSourceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto server = MariaDbServer::Start({.flush_log_at_trx_commit = 2});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = server->release();
  }
  static void TearDownTestSuite() { delete server_; }

  static MySqlSourceOptions Options(const std::string& table) {
    MySqlSourceOptions options;
    options.server = {server_->host(), server_->port(), server_->user(), server_->password(),
                      server_->database()};
    options.polling.table = table;
    options.polling.poll_interval = absl::Milliseconds(10);
    return options;
  }
  static PollingDriver Driver(Schema schema, MySqlSourceOptions options) {
    return PollingDriver(std::move(schema), [options = std::move(options)](const PollingStart& s) {
      return MakeMySqlSource(options, s);
    });
  }
  static absl::Status Exec(const std::string& sql) { return server_->Exec(sql); }

  static MariaDbServer* server_;
};
MariaDbServer* MySqlSourceTest::server_ = nullptr;

TEST_F(MySqlSourceTest, GivesRowsOnceInTheOrderOfTheId) {
  ASSERT_OK(
      Exec("CREATE TABLE once (id INT AUTO_INCREMENT PRIMARY KEY, name TEXT);"
           "INSERT INTO once (name) VALUES ('a'), ('b'), (NULL)"));
  PollingDriver driver = Driver(Schema().Int32("id").String("name"), Options("once"));
  ASSERT_OK(driver.RunUntil(3));
  ASSERT_OK(Exec("INSERT INTO once (name) VALUES ('d')"));
  ASSERT_OK(driver.RunUntil(4));
  EXPECT_THAT(driver.arrived(),
              ElementsAre(Row{"1", "a"}, Row{"2", "b"}, Row{"3", "NULL"}, Row{"4", "d"}));
  const auto nothing = driver.RunBatch();
  ASSERT_TRUE(nothing.ok()) << nothing.status();
  EXPECT_FALSE(*nothing);
}

}  // namespace
}  // namespace tidemark
