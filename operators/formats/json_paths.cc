#include "tidemark/operators/formats/json_paths.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace tidemark {
namespace {

// The first and the last 8 bytes of a name as integers, or all of a shorter one twice; 8 bytes from
// its start on can be read. Without a branch on the size, which is as random as the members' order.
struct NameEnds {
  uint64_t head;
  uint64_t tail;
};

NameEnds LoadEnds(std::string_view name) {
  const size_t count = std::min<size_t>(name.size(), 8);
  // Shifted twice, as one shift by 64 is undefined.
  const uint64_t mask = ~(~uint64_t{0} << (4 * count) << (4 * count));
  uint64_t head;
  uint64_t tail;
  std::memcpy(&head, name.data(), sizeof(head));
  std::memcpy(&tail, name.data() + (name.size() - count), sizeof(tail));
  return {head & mask, tail & mask};
}

uint32_t HashName(const NameEnds& ends, size_t size) {
  const uint64_t mixed =
      (ends.head ^ std::rotl(ends.tail, 29) ^ (uint64_t{size} << 56)) * 0x9E3779B97F4A7C15u;
  return static_cast<uint32_t>(mixed >> 32);
}

// `buffer` gets a copy with 8 readable bytes at its start, whatever the name's size.
std::string_view CopyReadable(std::string_view name, std::string* buffer) {
  buffer->assign(name);
  buffer->resize(name.size() + 8);
  return {buffer->data(), name.size()};
}

}  // namespace

absl::StatusOr<std::vector<std::string>> JsonPaths::ParsePointer(std::string_view pointer) {
  if (pointer.empty() || pointer[0] != '/') {
    return absl::InvalidArgumentError(fmt::format(
        "'{}' is no JSON pointer: it must begin with '/', as /payload/after/id", pointer));
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < pointer.size(); ++i) {
    if (pointer[i] == '/') {
      names.emplace_back();
    } else if (pointer[i] != '~') {
      names.back() += pointer[i];
    } else if (pointer.substr(i + 1, 1) == "0" || pointer.substr(i + 1, 1) == "1") {
      names.back() += pointer[++i] == '0' ? '~' : '/';
    } else {
      return absl::InvalidArgumentError(fmt::format(
          "'{}' is no JSON pointer: '~' must be followed by 0 (for ~) or 1 (for /)", pointer));
    }
  }
  return names;
}

bool JsonPaths::Add(const std::vector<std::string>& names) {
  std::vector<uint32_t> way = {0};
  for (const std::string& name : names) {
    const std::vector<Child>& children = nodes_[way.back()].children;
    const auto child =
        std::ranges::find_if(children, [&](const Child& c) { return c.name == name; });
    if (child != children.end()) {
      way.push_back(child->node);
      continue;
    }
    const uint32_t node = static_cast<uint32_t>(nodes_.size());
    nodes_[way.back()].children.push_back({name, node});
    nodes_.emplace_back();
    way.push_back(node);
  }
  if (nodes_[way.back()].place >= 0) return false;
  nodes_[way.back()].place = static_cast<int32_t>(path_count_);
  way.pop_back();
  for (uint32_t node : way) nodes_[node].below.push_back(static_cast<uint32_t>(path_count_));
  ++path_count_;
  return true;
}

void JsonPaths::Finish() {
  std::string buffer;
  for (Node& node : nodes_) {
    if (node.children.empty()) continue;
    const uint32_t elsewhere = static_cast<uint32_t>(path_count_);
    node.table.resize(std::bit_ceil(node.children.size() * 8), Entry{.place = elsewhere});
    for (uint32_t i = 0; i < node.children.size(); ++i) {
      const std::string_view name = CopyReadable(node.children[i].name, &buffer);
      const Node& child = nodes_[node.children[i].node];
      const NameEnds ends = LoadEnds(name);
      const Entry entry = {
          .head = ends.head,
          .tail = ends.tail,
          .size = static_cast<uint32_t>(name.size()),
          .node = node.children[i].node,
          .place = child.children.empty() ? static_cast<uint32_t>(child.place) : kInner,
          .child = i};
      size_t slot = HashName(ends, name.size());
      while (node.table[slot & (node.table.size() - 1)].node != 0) ++slot;
      node.table[slot & (node.table.size() - 1)] = entry;
    }
  }
}

inline const JsonPaths::Entry& JsonPaths::FindChild(const Node& node, std::string_view name) const {
  const NameEnds ends = LoadEnds(name);
  const size_t mask = node.table.size() - 1;
  for (size_t slot = HashName(ends, name.size());; ++slot) {
    const Entry& entry = node.table[slot & mask];
    // One branch for a wanted member and an unwanted one, so that their order cannot be
    // mispredicted.
    const bool same =
        (entry.head == ends.head) & (entry.tail == ends.tail) & (entry.size == name.size());
    if (!(same | (entry.node == 0))) continue;
    if (name.size() <= 16 || entry.node == 0 || node.children[entry.child].name == name) {
      return entry;
    }
  }
}

std::string_view JsonPaths::Unescaped(std::string_view name) {
  unescaped_.resize(name.size() + 8);
  return {unescaped_.data(), UnescapeJson(name, unescaped_.data())};
}

void JsonPaths::Locate(const JsonDocument& document, JsonValue* found) {
  std::fill_n(found, path_count_, JsonValue{});
  if (path_count_ == 0) return;
  WalkObject(document, nodes_[0], 0, found);
}

uint32_t JsonPaths::WalkObject(const JsonDocument& document, const Node& node, uint32_t i,
                               JsonValue* found) {
  if (document.Kind(++i) == '}') return i + 1;
  while (true) {
    std::string_view name = document.Quoted(i);
    if (document.has_escapes() && name.find('\\') != std::string_view::npos) [[unlikely]] {
      name = Unescaped(name);
    }
    i = Take(document, FindChild(node, name), i + 2, found);  // past the name and its colon
    if (document.Kind(i++) == '}') return i;
  }
}

uint32_t JsonPaths::WalkArray(const JsonDocument& document, const Node& node, uint32_t i,
                              JsonValue* found) {
  if (document.Kind(++i) == ']') return i + 1;
  fmt::memory_buffer name;
  for (size_t index = 0;; ++index) {
    name.clear();
    fmt::format_to(std::back_inserter(name), "{}", index);
    name.reserve(name.size() + 8);
    i = Take(document, FindChild(node, {name.data(), name.size()}), i, found);
    if (document.Kind(i++) == ']') return i;
  }
}

// What is not wanted has a place of its own behind the others, which costs less than not to store
// it.
inline uint32_t JsonPaths::Take(const JsonDocument& document, const Entry& entry, uint32_t i,
                                JsonValue* found) {
  if (entry.place == kInner) return Enter(document, nodes_[entry.node], i, found);
  const uint32_t next = document.Skip(i);
  found[entry.place] = {i, next};
  return next;
}

uint32_t JsonPaths::Enter(const JsonDocument& document, const Node& node, uint32_t i,
                          JsonValue* found) {
  // An earlier member of the same name may have left values here.
  for (uint32_t place : node.below) found[place] = {};
  uint32_t next;
  switch (document.Kind(i)) {
    case '{':
      next = WalkObject(document, node, i, found);
      break;
    case '[':
      next = WalkArray(document, node, i, found);
      break;
    default:
      next = i + 1;
  }
  if (node.place >= 0) found[node.place] = {i, next};
  return next;
}

}  // namespace tidemark
