// Registers made-up customers in MariaDB or MySQL, 20 at a time, each with an address:
// `feed_customers --count 200 --every 1s`.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "examples/registrations_per_store/registrations_per_store.h"
#include "examples/services.h"
#include "tidemark/operators/clients/mysql_client.h"
#include "tidemark/operators/sinks/mysql_options.h"

namespace {

using tidemark::MySqlConnection;
using tidemark::QuoteMySqlText;

constexpr int64_t kAtATime = 20;

volatile std::sig_atomic_t stopped = 0;

struct Flags {
  std::string server = tidemark::examples::ServicesMySql();
  int64_t count = 0;
  std::string every = "1s";
  uint64_t seed = 1;
};

int Fail(const std::string& problem, int code) {
  fmt::print(stderr, "error: {}\n", problem);
  return code;
}

// As the jobs find it; that of scripts/services, if nothing is said of it and of the server.
absl::StatusOr<std::string> Password(const std::string& server) {
  if (const char* password = std::getenv("TIDEMARK_MYSQL_PASSWORD")) return std::string(password);
  const char* path = std::getenv("TIDEMARK_MYSQL_PASSWORD_FILE");
  const bool is_services = path == nullptr && server == tidemark::examples::ServicesMySql();
  if (path == nullptr && !is_services) return std::string();
  std::ifstream file(is_services ? tidemark::examples::ServicesFolder() + "/mysql.password" : path);
  std::string password;
  if (std::getline(file, password) || is_services) return password;
  return absl::InvalidArgumentError(
      fmt::format("TIDEMARK_MYSQL_PASSWORD_FILE: the file {} cannot be read, or is empty", path));
}

// One transaction, so that nobody sees a customer without an address, or half of the twenty.
absl::Status Register(MySqlConnection& connection, uint64_t seed, int64_t first, int64_t count) {
  absl::Status status = connection.Exec("START TRANSACTION");
  for (int64_t number = first; status.ok() && number < first + count; ++number) {
    const tidemark::examples::Person person = tidemark::examples::MakePerson(seed, number);
    status = connection.Exec(
        fmt::format("INSERT INTO address (address, district, city_id, postal_code, phone) VALUES "
                    "('{} Main Street', 'District {}', {}, '{:05}', '555-{:07}')",
                    1 + number % 300, 1 + number % 12, 1 + number % 600, number % 100'000,
                    number % 10'000'000));
    if (!status.ok()) break;
    status = connection.Exec(fmt::format(
        "INSERT INTO customer (store_id, first_name, last_name, email, address_id, create_date) "
        "VALUES ({}, {}, {}, {}, LAST_INSERT_ID(), UTC_TIMESTAMP())",
        person.store_id, QuoteMySqlText(person.first_name), QuoteMySqlText(person.last_name),
        QuoteMySqlText(person.email)));
  }
  return status.ok() ? connection.Exec("COMMIT") : status;
}

// The numbers go on where the seed's last customer ended, so that a run adds other people.
absl::StatusOr<int64_t> FirstNumber(MySqlConnection& connection, uint64_t seed) {
  const auto rows = connection.Query(
      fmt::format("SELECT COUNT(*) FROM customer WHERE email LIKE 'customer{}.%'", seed));
  if (!rows.ok()) return rows.status();
  return std::stoll((*rows)[0][0].value_or("0"));
}

// Sleeps until `time`, or until the program is told to stop.
void SleepUntil(std::chrono::steady_clock::time_point time) {
  while (stopped == 0 && std::chrono::steady_clock::now() < time) {
    std::this_thread::sleep_for(std::min<std::chrono::steady_clock::duration>(
        std::chrono::milliseconds(50), time - std::chrono::steady_clock::now()));
  }
}

absl::Status Feed(const Flags& flags, const tidemark::DatabaseAddress& server, absl::Duration every,
                  int64_t* fed) {
  const auto connection = MySqlConnection::Connect(server, {}, nullptr);
  if (!connection.ok()) return connection.status();
  const absl::StatusOr<int64_t> first = FirstNumber(**connection, flags.seed);
  if (!first.ok()) return first.status();
  auto next = std::chrono::steady_clock::now();
  while (stopped == 0 && (flags.count == 0 || *fed < flags.count)) {
    const int64_t left = flags.count == 0 ? kAtATime : flags.count - *fed;
    const int64_t count = std::min(kAtATime, left);
    const absl::Status status = Register(**connection, flags.seed, *first + *fed, count);
    if (!status.ok()) return status;
    *fed += count;
    if (*fed == flags.count) break;
    next += absl::ToChronoNanoseconds(every);
    SleepUntil(next);
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Registers made-up customers, each with an address, 20 at a time.");
  app.add_option("--server", flags.server,
                 "mysql://USER@HOST:PORT/DB (default " + flags.server +
                     "); the password comes from TIDEMARK_MYSQL_PASSWORD, or the file that "
                     "TIDEMARK_MYSQL_PASSWORD_FILE names, for the default server from "
                     "services/mysql.password");
  app.add_option("--count", flags.count, "customers in all; default: until stopped")
      ->check(CLI::PositiveNumber);
  app.add_option("--every", flags.every, "time from one 20 to the next: 500ms, 1s (default), 1m");
  app.add_option("--seed", flags.seed, "another seed makes other people (default 1)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return Fail(error.what(), 2);
  }
  absl::Duration every;
  if (!absl::ParseDuration(flags.every, &every) || every < absl::ZeroDuration()) {
    return Fail(fmt::format("--every: '{}' is not a time such as 500ms or 1s", flags.every), 2);
  }
  // A table's address without the table.
  absl::StatusOr<tidemark::MySqlSinkOptions> address =
      tidemark::ParseMySqlUrl(flags.server + "/customer");
  if (!address.ok()) {
    return Fail(fmt::format("--server {}: {}; write mysql://USER@HOST:PORT/DB", flags.server,
                            std::string(address.status().message())),
                2);
  }
  const absl::StatusOr<std::string> password = Password(flags.server);
  if (!password.ok()) return Fail(std::string(password.status().message()), 2);
  address->server.password = *password;
  address->server.password_place =
      "TIDEMARK_MYSQL_PASSWORD, or the file that TIDEMARK_MYSQL_PASSWORD_FILE names";
  std::signal(SIGINT, [](int) { stopped = 1; });
  std::signal(SIGTERM, [](int) { stopped = 1; });
  int64_t fed = 0;
  const absl::Status status = Feed(flags, address->server, every, &fed);
  fmt::print(stderr, "Registered {} customers\n", fed);
  return status.ok() ? 0 : Fail(std::string(status.message()), 1);
}
