#include "tidemark/operators/formats/avro_registry.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "tidemark/operators/formats/json_document.h"

namespace tidemark {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kFirstPause = std::chrono::milliseconds(100);
constexpr auto kLongestPause = std::chrono::milliseconds(1000);
constexpr absl::Duration kLongestPatience = absl::Hours(1);
// Twice the largest schema: JSON in JSON is escaped.
constexpr size_t kMaxAnswerBytes = size_t{2} << 20;
constexpr size_t kMaxAnswerDepth = 64;
constexpr long kMaxRedirects = 3;

// `http://user:password@host/path`: what stands between the scheme and the host.
struct SplitUrl {
  std::string url;
  std::string credentials;  // percent-encoded
};

SplitUrl Split(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos) return {std::move(url), ""};
  const size_t begin = scheme + 3;
  // The last one, wherever it stands: better a URL that does not work than a password that shows.
  const size_t at = url.rfind('@');
  if (at == std::string::npos || at < begin) return {std::move(url), ""};
  std::string credentials = url.substr(begin, at - begin);
  url.erase(begin, at + 1 - begin);
  return {std::move(url), std::move(credentials)};
}

std::string PercentDecoded(const std::string& text) {
  int size = 0;
  char* decoded = curl_easy_unescape(nullptr, text.c_str(), static_cast<int>(text.size()), &size);
  std::string result = decoded == nullptr ? std::string() : std::string(decoded, size);
  curl_free(decoded);
  return result;
}

size_t AppendBody(const char* bytes, size_t size, size_t count, void* to) {
  auto* body = static_cast<std::string*>(to);
  if (body->size() + size * count > kMaxAnswerBytes) return 0;
  body->append(bytes, size * count);
  return size * count;
}

// The member's text if it is a string.
std::optional<std::string> StringMember(const JsonDocument& json, std::string_view name) {
  std::optional<std::string> found;
  for (uint32_t i = 1; json.Kind(i) != '}';) {
    const uint32_t value = i + 2;
    if (json.Quoted(i) == name && json.Kind(value) == '"') {
      const std::string_view quoted = json.Quoted(value);
      found.emplace(quoted.size(), '\0');
      found->resize(UnescapeJson(quoted, found->data()));
    }
    i = json.Skip(value);
    if (json.Kind(i) == ',') ++i;
  }
  return found;
}

bool HasReferences(const JsonDocument& json) {
  for (uint32_t i = 1; json.Kind(i) != '}';) {
    const uint32_t value = i + 2;
    if (json.Quoted(i) == "references" && json.Kind(value) == '[') {
      return json.Kind(value + 1) != ']';
    }
    i = json.Skip(value);
    if (json.Kind(i) == ',') ++i;
  }
  return false;
}

}  // namespace

AvroRegistry::AvroRegistry(std::string url, std::string user, std::string password,
                           absl::Duration patience)
    : url_(Split(url).url), patience_(patience) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  credentials_ = PercentDecoded(Split(std::move(url)).credentials);
  if (!user.empty()) credentials_ = fmt::format("{}:{}", user, password);
}

AvroRegistry::~AvroRegistry() { curl_global_cleanup(); }

absl::Status AvroRegistry::Check() const {
  if (!url_.starts_with("http://") && !url_.starts_with("https://")) {
    return absl::InvalidArgumentError(
        "the schema registry's URL must begin with http:// or https://, as http://registry:8081");
  }
  if (patience_ < absl::Milliseconds(1) || patience_ > kLongestPatience) {
    return absl::InvalidArgumentError(
        fmt::format("the schema registry's patience is {}; it must be 1ms to {}",
                    absl::FormatDuration(patience_), absl::FormatDuration(kLongestPatience)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> AvroRegistry::Fetch(uint32_t id) {
  const std::string url = fmt::format("{}/schemas/ids/{}", url_, id);
  const Clock::time_point end = Clock::now() + absl::ToChronoNanoseconds(patience_);
  auto pause = std::chrono::duration_cast<Clock::duration>(kFirstPause);
  while (true) {
    const absl::Duration left =
        std::max(absl::FromChrono(end - Clock::now()), absl::Milliseconds(1));
    absl::StatusOr<Answer> answer = Get(url, left);
    if (answer.ok() && answer->status != 429 && answer->status < 500) {
      return ReadAnswer(id, *answer);
    }
    const absl::Status failure =
        answer.ok() ? absl::UnavailableError(
                          fmt::format("the schema registry answers {} to {}", answer->status, url))
                    : answer.status();
    if (!absl::IsUnavailable(failure)) return failure;
    if (Clock::now() + pause >= end) return failure;
    std::this_thread::sleep_for(pause);
    pause = std::min<Clock::duration>(pause * 2, kLongestPause);
  }
}

absl::StatusOr<AvroRegistry::Answer> AvroRegistry::Get(const std::string& url,
                                                       absl::Duration timeout) const {
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), &curl_easy_cleanup);
  if (curl == nullptr) return absl::UnavailableError("no HTTP client can be made");
  Answer answer;
  const auto timeout_ms = static_cast<long>(absl::ToInt64Milliseconds(timeout)) + 1;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_MAXREDIRS, kMaxRedirects);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, timeout_ms);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &AppendBody);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
  if (!credentials_.empty()) {
    curl_easy_setopt(curl.get(), CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(curl.get(), CURLOPT_USERPWD, credentials_.c_str());
  }
  const CURLcode code = curl_easy_perform(curl.get());
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  answer.status = status;
  if (code == CURLE_OK) return answer;
  const std::string problem =
      code == CURLE_WRITE_ERROR ? fmt::format("its answer has more than {} bytes", kMaxAnswerBytes)
                                : std::string(curl_easy_strerror(code));
  const std::string message =
      fmt::format("the schema registry cannot be asked for {}: {}", url, problem);
  const bool is_final = code == CURLE_WRITE_ERROR || code == CURLE_URL_MALFORMAT ||
                        code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_TOO_MANY_REDIRECTS ||
                        code == CURLE_PEER_FAILED_VERIFICATION;
  if (is_final) return absl::FailedPreconditionError(message);
  return absl::UnavailableError(message);
}

absl::StatusOr<std::string> AvroRegistry::ReadAnswer(uint32_t id, const Answer& answer) const {
  if (answer.status == 404) {
    return absl::NotFoundError(
        fmt::format("the schema registry {} does not know the schema id {}", url_, id));
  }
  if (answer.status == 401 || answer.status == 403) {
    return absl::PermissionDeniedError(fmt::format(
        "the schema registry {} answers {}: check its user and password", url_, answer.status));
  }
  JsonDocument json(kMaxAnswerDepth);
  if (answer.status != 200 || json.Parse(answer.body, false).has_value()) {
    return absl::FailedPreconditionError(fmt::format(
        "{} answers as no schema registry does (status {}, {} bytes) when asked for schema {}; "
        "check the URL",
        url_, answer.status, answer.body.size(), id));
  }
  const std::string type = StringMember(json, "schemaType").value_or("AVRO");
  if (type != "AVRO") {
    return absl::InvalidArgumentError(
        fmt::format("schema {} is of type {}, not AVRO", id, type.substr(0, 64)));
  }
  if (HasReferences(json)) {
    return absl::InvalidArgumentError(
        fmt::format("schema {} refers to other schemas of the registry, which is not supported; "
                    "put the whole schema into a file of the schema folder",
                    id));
  }
  std::optional<std::string> schema = StringMember(json, "schema");
  if (schema.has_value()) return *std::move(schema);
  return absl::FailedPreconditionError(fmt::format(
      "{} answers as no schema registry does when asked for schema {}: there is no \"schema\"",
      url_, id));
}

}  // namespace tidemark
