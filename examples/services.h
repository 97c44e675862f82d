#ifndef TIDEMARK_EXAMPLES_SERVICES_H_
#define TIDEMARK_EXAMPLES_SERVICES_H_

#include <cstdlib>
#include <string>

namespace tidemark::examples {

/// The value of `variable`, which scripts/services reads too, or `fallback`.
inline std::string ServicesVariable(const char* variable, const char* fallback) {
  const char* const value = std::getenv(variable);
  return value == nullptr || *value == '\0' ? fallback : value;
}

/// Where scripts/services starts its servers: what feeders use if nothing else is named.
inline std::string ServicesKafka() {
  return "127.0.0.1:" + ServicesVariable("TIDEMARK_KAFKA_PORT", "29092");
}
inline std::string ServicesMySql() {
  return "mysql://tidemark@127.0.0.1:" + ServicesVariable("TIDEMARK_MYSQL_PORT", "23306") +
         "/tidemark";
}
/// Where it keeps their passwords.
inline std::string ServicesFolder() {
  return ServicesVariable("TIDEMARK_SERVICES_DIR", "services");
}

}  // namespace tidemark::examples

#endif  // TIDEMARK_EXAMPLES_SERVICES_H_
