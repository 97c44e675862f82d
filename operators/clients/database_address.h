#ifndef TIDEMARK_OPERATORS_CLIENTS_DATABASE_ADDRESS_H_
#define TIDEMARK_OPERATORS_CLIENTS_DATABASE_ADDRESS_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace tidemark {

/// Where a database server is and who asks.
struct DatabaseAddress {
  std::string host = {};
  int port = 0;
  std::string user = {};
  std::string password = {};
  std::string database = {};
  /// Where the password came from, or should come from, for messages: `TIDEMARK_MYSQL_PASSWORD`.
  std::string password_place = {};

  /// What to do when the server refuses the user: the end of a message.
  std::string LoginAdvice() const;
  /// `host:port`, an IPv6 host in brackets: for messages.
  std::string HostPort() const;
};

/// How the URLs of one kind of server look, and what is said of one that does not.
struct TableUrlKind {
  std::string_view scheme;  ///< `mysql`
  std::string_view server;  ///< `MySQL`
  int default_port = 0;
  std::string_view shape;           ///< what to write, from the scheme on
  std::string_view password_place;  ///< what to set to the password, which is not in the URL
};

/// A table of a server, as a URL names it.
struct TableUrl {
  DatabaseAddress server;  ///< without the password
  std::string table;
  std::vector<std::pair<std::string, std::string>> parameters;  ///< in their order, none twice
};

/// `SCHEME://USER@HOST:PORT/DB/TABLE?NAME=VALUE&...`, parts percent-encoded, an IPv6 host in
/// brackets, the kind's port if none is named. InvalidArgument says what is wrong; a password is
/// refused (it would be seen in process lists and logs).
absl::StatusOr<TableUrl> ParseTableUrl(std::string_view url, const TableUrlKind& kind);
/// `problem`, a sentence's end that follows `the MySQL URL`, as the status of such a URL.
absl::Status RefusedTableUrl(const TableUrlKind& kind, std::string_view problem);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_CLIENTS_DATABASE_ADDRESS_H_
