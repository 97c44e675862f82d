#include "tidemark/operators/formats/avro_schemas.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "tidemark/operators/formats/avro_registry.h"

namespace tidemark {
namespace {

// An id that nobody knew may be known later: a registry's follower lags behind.
constexpr std::chrono::seconds kUnknownFor(10);
// Ids that nobody knows come from records that are garbage: there can be any number of them.
constexpr size_t kMaxEntries = 100'000;

// NotFound, InvalidArgument; never more than the largest schema is read.
absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    return absl::NotFoundError(fmt::format("there is no schema file {}", path));
  }
  if (std::filesystem::is_directory(status)) {
    return absl::InvalidArgumentError(fmt::format("schema file {}: this is a folder", path));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(AvroSchema::kMaxTextBytes + 1, '\0');
  if (file.is_open()) file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) {
    return absl::InvalidArgumentError(
        fmt::format("schema file {} cannot be read: {}", path, std::strerror(errno)));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > AvroSchema::kMaxTextBytes) {
    return absl::InvalidArgumentError(
        fmt::format("schema file {}: it has more than {} bytes, the most that an Avro schema may "
                    "have here",
                    path, AvroSchema::kMaxTextBytes));
  }
  return text;
}

absl::StatusOr<std::shared_ptr<const AvroSchema>> ParseNamed(std::string_view what,
                                                             std::string_view text) {
  absl::StatusOr<std::shared_ptr<const AvroSchema>> schema = AvroSchema::Parse(text);
  if (schema.ok()) return schema;
  return absl::InvalidArgumentError(
      fmt::format("{}: {}", what, std::string(schema.status().message())));
}

}  // namespace

absl::StatusOr<std::string> ReadAvroSchemaFile(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return absl::InvalidArgumentError(text.status().message());
  const auto schema = ParseNamed(fmt::format("schema file {}", path), *text);
  if (!schema.ok()) {
    return absl::InvalidArgumentError(fmt::format("{}; name the .avsc file of the records",
                                                  std::string(schema.status().message())));
  }
  return text;
}

AvroSchemas::AvroSchemas(AvroOptions options)
    : options_(std::move(options)),
      registry_(options_.registry_url.empty()
                    ? nullptr
                    : std::make_unique<AvroRegistry>(options_.registry_url, options_.registry_user,
                                                     options_.registry_password,
                                                     options_.registry_patience)) {}

AvroSchemas::~AvroSchemas() = default;

absl::Status AvroSchemas::Check() const {
  for (const auto& [id, text] : options_.schemas_by_id) {
    const auto schema = ParseNamed(fmt::format("schema {}", id), text);
    if (!schema.ok()) return schema.status();
  }
  std::error_code error;
  if (!options_.schema_folder.empty() &&
      !std::filesystem::is_directory(options_.schema_folder, error)) {
    return absl::InvalidArgumentError(
        fmt::format("there is no schema folder {}", options_.schema_folder));
  }
  return registry_ == nullptr ? absl::OkStatus() : registry_->Check();
}

absl::StatusOr<std::shared_ptr<const AvroSchema>> AvroSchemas::Find(uint32_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (const auto found = found_.find(id); found != found_.end()) {
    const Entry& entry = found->second;
    if (entry.schema.ok() || now - entry.found_at < kUnknownFor) return entry.schema;
    found_.erase(found);
  }
  absl::StatusOr<std::shared_ptr<const AvroSchema>> schema = LookUp(id);
  if (schema.ok() || absl::IsNotFound(schema.status()) ||
      absl::IsInvalidArgument(schema.status())) {
    if (found_.size() >= kMaxEntries) {
      std::erase_if(found_, [](const auto& entry) { return !entry.second.schema.ok(); });
    }
    found_.emplace(id, Entry{schema, now});
  }
  return schema;
}

absl::StatusOr<std::shared_ptr<const AvroSchema>> AvroSchemas::LookUp(uint32_t id) {
  const std::string what = fmt::format("schema {}", id);
  if (const auto known = options_.schemas_by_id.find(id); known != options_.schemas_by_id.end()) {
    return ParseNamed(what, known->second);
  }
  if (!options_.schema_folder.empty()) {
    const std::string path = fmt::format("{}/{}.avsc", options_.schema_folder, id);
    const absl::StatusOr<std::string> text = ReadFile(path);
    if (text.ok()) return ParseNamed(what, *text);
    if (!absl::IsNotFound(text.status())) return text.status();
  }
  if (registry_ != nullptr) {
    const absl::StatusOr<std::string> text = registry_->Fetch(id);
    if (!text.ok()) return text.status();
    return ParseNamed(what, *text);
  }
  return absl::NotFoundError(fmt::format("nobody knows the schema id {}", id));
}

}  // namespace tidemark
