// scripts/services, with ports and a folder of the test's own.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "tests/examples/job_program.h"
#include "tests/servers/free_port.h"
#include "tests/servers/process.h"
#include "tests/servers/temp_dir.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using testing::FreePort;
using ::testing::HasSubstr;
using testing::Process;
using testing::ProcessResult;
using testing::ReadText;
using testing::RunProcess;
using testing::TempDir;

class Services : public ::testing::Test {
 protected:
  void SetUp() override {
    // Root's PostgreSQL runs as another user, who has to get here.
    std::filesystem::permissions(dir_.path(), std::filesystem::perms(0755));
    for (const char* name : {"KAFKA", "MYSQL", "POSTGRES"}) {
      const absl::StatusOr<int> port = FreePort();
      ASSERT_TRUE(port.ok()) << port.status();
      env_.emplace_back(fmt::format("TIDEMARK_{}_PORT", name), fmt::format("{}", *port));
    }
    env_.emplace_back("TIDEMARK_SERVICES_DIR", dir_.Path("services"));
  }
  void TearDown() override { Run("down"); }

  ProcessResult Run(const std::string& command) {
    absl::StatusOr<ProcessResult> result =
        RunProcess({.args = {"bash", "-c",
                             fmt::format("{}/scripts/services {}", TIDEMARK_SOURCE_DIR, command)},
                    .env = env_,
                    .working_dir = dir_.path()},
                   absl::Minutes(2));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : ProcessResult{-1, "", ""};
  }
  pid_t Pid(const std::string& name) const {
    return static_cast<pid_t>(std::stol(ReadText(dir_.Path("services/" + name + ".pid"))));
  }

  TempDir dir_;
  testing::JobFolder::Variables env_;
};

TEST_F(Services, UpStatusDown) {
  EXPECT_EQ(Run("status").exit_code, 1);
  EXPECT_THAT(Run("mysql").stderr_text, HasSubstr("run scripts/services up"));
  const ProcessResult up = Run("up");
  ASSERT_EQ(up.exit_code, 0) << up.stderr_text;
  EXPECT_THAT(up.stdout_text, AllOf(ContainsRegex("kafka +up"), ContainsRegex("mariadb +up"),
                                    ContainsRegex("postgres +up")));
  EXPECT_EQ(Run("status").stdout_text, up.stdout_text);
  EXPECT_EQ(Run("up").stdout_text, up.stdout_text);  // the same processes

  // Passwords, clients and topics.
  EXPECT_THAT(Run("env").stdout_text,
              HasSubstr("TIDEMARK_MYSQL_PASSWORD_FILE=" + dir_.Path("services/mysql.password")));
  EXPECT_EQ(Run("mysql -NBe 'CREATE TABLE t (i INT); SELECT DATABASE()'").stdout_text,
            "tidemark\n");
  EXPECT_EQ(Run("psql -Atc 'SELECT current_database()'").stdout_text, "tidemark\n");
  EXPECT_THAT(Run("topic lines 2").stdout_text, HasSubstr("topic lines made"));
  EXPECT_THAT(Run("topic lines 2").stdout_text, HasSubstr("was there already"));
  EXPECT_EQ(Run("topic 'a b'").exit_code, 1);
  const ProcessResult published =
      Run(fmt::format("env && echo '{{\"id\":7}}' | {}/publish_lines --topic lines --key id "
                      "--brokers 127.0.0.1:$TIDEMARK_KAFKA_PORT",
                      TIDEMARK_EXAMPLES_DIR));
  EXPECT_EQ(published.exit_code, 0) << published.stderr_text;
  EXPECT_EQ(Run("read lines").stdout_text, "7|{\"id\":7}\n");
  EXPECT_EQ(Run("read nothing").exit_code, 1);

  // A job in the background.
  const std::string start =
      fmt::format("start changes {}/customers_cdc --trigger '1 second'", TIDEMARK_EXAMPLES_DIR);
  EXPECT_THAT(Run(start).stdout_text, HasSubstr("changes runs, pid"));
  EXPECT_THAT(Run(start).stdout_text, HasSubstr("changes runs already"));
  EXPECT_EQ(Run("status").exit_code, 0);
  EXPECT_THAT(Run("start typo /nowhere/job").stderr_text, HasSubstr("is not a program"));
  const ProcessResult wrong =
      Run(fmt::format("start wrong {}/customers_cdc --trigger soon", TIDEMARK_EXAMPLES_DIR));
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_THAT(wrong.stderr_text, AllOf(HasSubstr("wrong ended at its start"), HasSubstr("soon")));
  EXPECT_EQ(Run("stop wrong").exit_code, 0);

  // One that was killed is seen, and started again with its data.
  ASSERT_EQ(::kill(Pid("mariadb"), SIGKILL), 0);
  ASSERT_TRUE(testing::WaitUntil([&] { return Run("status").exit_code == 1; }));
  EXPECT_THAT(Run("status").stdout_text, ContainsRegex("mariadb +down"));
  ASSERT_EQ(Run("up").exit_code, 0);
  EXPECT_EQ(Run("mysql -NBe 'SHOW TABLES'").stdout_text, "t\n");

  const pid_t kafka = Pid("kafka"), postgres = Pid("postgres");
  const ProcessResult down = Run("down");
  EXPECT_EQ(down.exit_code, 0) << down.stderr_text;
  EXPECT_THAT(down.stdout_text, HasSubstr("changes  stopped"));
  // Nothing, or what nobody has waited for yet.
  for (const pid_t pid : {kafka, postgres})
    EXPECT_EQ(ReadText(fmt::format("/proc/{}/cmdline", pid)), "");
  EXPECT_EQ(Run("status").exit_code, 1);
}

TEST_F(Services, OnlyWhatItStartedIsEnded) {
  absl::StatusOr<std::unique_ptr<Process>> other = Process::Start({.args = {"sleep", "60"}});
  ASSERT_TRUE(other.ok()) << other.status();
  std::filesystem::create_directories(dir_.Path("services/jobs"));
  for (const char* name : {"kafka", "mariadb", "postgres", "jobs/job"})
    std::ofstream(dir_.Path(fmt::format("services/{}.pid", name))) << (*other)->pid();
  std::ofstream(dir_.Path("services/jobs/job.words")) << "another program";
  EXPECT_EQ(Run("down").exit_code, 0);
  EXPECT_TRUE((*other)->Running());
}

TEST_F(Services, APortThatIsTakenIsNamed) {
  const std::string port = *env_[1].second;
  absl::StatusOr<std::unique_ptr<Process>> other =
      Process::Start({.args = {"python3", "-m", "http.server", "--bind", "127.0.0.1", port}});
  ASSERT_TRUE(other.ok()) << other.status();
  const std::string look = fmt::format("env >&2; (exec 3<>/dev/tcp/127.0.0.1/{})", port);
  ASSERT_TRUE(testing::WaitUntil([&] { return Run(look).exit_code == 0; }));
  const ProcessResult up = Run("up");
  EXPECT_EQ(up.exit_code, 1);
  EXPECT_THAT(up.stderr_text, AllOf(HasSubstr("port " + port), HasSubstr("taken")));
}

TEST_F(Services, AWrongWordIsAnsweredWithTheWordsThereAre) {
  for (const char* words : {"", "start", "start a", "stop", "topic", "up now", "begin"}) {
    const ProcessResult result = Run(words);
    EXPECT_EQ(result.exit_code, 2) << words;
    EXPECT_THAT(result.stderr_text, HasSubstr("services up")) << words;
  }
}

}  // namespace
}  // namespace tidemark
