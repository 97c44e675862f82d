#include "tidemark/operators/formats/json_document.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "operators/formats/decode_text.h"

namespace tidemark {
namespace {

// RFC 8259 word by word, one byte at a time: what the document's parser is compared with.
class PlainChecker {
 public:
  explicit PlainChecker(std::string_view text) : rest_(text) {}

  bool IsDocument() { return Value() && (Blanks(), rest_.empty()); }

 private:
  char Peek() const { return rest_.empty() ? '\0' : rest_[0]; }
  bool Eat(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  void Blanks() {
    while (Eat(" ") || Eat("\t") || Eat("\n") || Eat("\r")) {
    }
  }
  bool Digits() {
    size_t count = 0;
    while (!rest_.empty() && Peek() >= '0' && Peek() <= '9') rest_.remove_prefix(1), ++count;
    return count > 0;
  }
  bool Number() {
    Eat("-");
    if (!Eat("0") && !Digits()) return false;
    if (Eat(".") && !Digits()) return false;
    if (Eat("e") || Eat("E")) {
      if (!Eat("+")) Eat("-");
      return Digits();
    }
    return true;
  }
  int Unit() {
    if (rest_.size() < 4) return -1;
    const std::string hex(rest_.substr(0, 4));
    rest_.remove_prefix(4);
    if (hex.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) return -1;
    return std::stoi(hex, nullptr, 16);
  }
  bool Escape() {
    for (std::string_view simple : {"\"", "\\", "/", "b", "f", "n", "r", "t"}) {
      if (Eat(simple)) return true;
    }
    if (!Eat("u")) return false;
    const int unit = Unit();
    if (unit < 0 || (unit >= 0xDC00 && unit <= 0xDFFF)) return false;
    if (unit < 0xD800 || unit > 0xDBFF) return true;
    if (!Eat("\\u")) return false;
    const int low = Unit();
    return low >= 0xDC00 && low <= 0xDFFF;
  }
  bool String() {
    if (!Eat("\"")) return false;
    const std::string_view begin = rest_;
    while (!rest_.empty() && Peek() != '"') {
      if (static_cast<unsigned char>(Peek()) < 0x20) return false;
      if (Eat("\\")) {
        if (!Escape()) return false;
      } else {
        rest_.remove_prefix(1);
      }
    }
    return IsValidUtf8(begin.substr(0, begin.size() - rest_.size())) && Eat("\"");
  }
  bool Members(char close, bool named) {
    Blanks();
    if (Eat({&close, 1})) return true;
    do {
      Blanks();
      if (named && !(String() && (Blanks(), Eat(":")))) return false;
      if (!Value()) return false;
      Blanks();
    } while (Eat(","));
    return Eat({&close, 1});
  }
  bool Value() {
    Blanks();
    if (Eat("{")) return Members('}', true);
    if (Eat("[")) return Members(']', false);
    if (Peek() == '"') return String();
    return Eat("true") || Eat("false") || Eat("null") || Number();
  }

  std::string_view rest_;
};

// What a random document must decode to, known while it is written.
class RandomDocument {
 public:
  explicit RandomDocument(std::mt19937_64* random) : random_(*random) {}

  static Schema TheSchema() {
    return Schema()
        .Int64("id")
        .Double("price")
        .String("name")
        .Bool("ok")
        .Decimal("amount", 20, 4)
        .String("tail")
        .At("/in/tail")
        .Int32("n")
        .At("/in/list/1");
  }

  std::string text() const { return text_; }
  std::string expected() const { return expected_; }

  void Write() {
    struct Member {
      std::string name;
      std::string value;
    };
    std::vector<Member> members;
    std::vector<std::string> cells;
    const auto add = [&](const char* name, std::string value, std::string cell) {
      if (Below(8) == 0) {
        cell = "null";
        if (Below(2) == 0) members.push_back({name, "null"});
      } else {
        members.push_back({name, std::move(value)});
      }
      cells.push_back(std::move(cell));
    };
    const auto id = static_cast<int64_t>(random_() >> Below(64));
    const std::string number = std::to_string(Below(2) == 0 ? id : -id);
    add("id", number, number);
    const double price = static_cast<double>(static_cast<int64_t>(random_() >> Below(64))) / 1024;
    add("price", fmt::format("{:.17g}", price), DoubleText(price));
    const auto [name, plain_name] = RandomString();
    add("name", name, plain_name);
    const bool ok = Below(2) == 0;
    add("ok", ok ? "true" : "false", ok ? "true" : "false");
    const std::string amount =
        fmt::format("{}.{:04}", random_() >> (12 + Below(52)), Below(10'000));
    add("amount", amount, amount);
    const auto [tail, plain_tail] = RandomString();
    const uint32_t n = static_cast<uint32_t>(Below(1'000'000));
    if (Below(3) == 0) {
      cells.insert(cells.end(), {"null", "null"});
    } else {
      members.push_back(
          {"in", fmt::format("{{{0}\"tail\"{0}:{0}{1},\"x\":{3},\"list\":[{4}{0},{2}{0},[]]}}",
                             Blanks(), tail, n, Anything(3), Anything(2))});
      cells.insert(cells.end(), {plain_tail, std::to_string(n)});
    }
    // Members of the same name before the one that counts.
    for (size_t i = members.size(); i-- > 0;) {
      if (Below(4) == 0) members.insert(members.begin(), {members[i].name, Anything(2)});
    }
    const size_t others = Below(4);
    for (size_t i = 0; i < others; ++i) {
      members.insert(members.begin() + static_cast<ptrdiff_t>(Below(members.size() + 1)),
                     {OtherName(), Anything(4)});
    }
    text_ = Blanks() + "{";
    for (const Member& member : members) {
      if (text_.back() != '{') text_ += ",";
      text_ += fmt::format("{0}{1}{0}:{0}{2}{0}", Blanks(), Name(member.name), member.value);
    }
    text_ += "}" + Blanks();
    expected_ = fmt::format("[{}]\n", fmt::join(cells, ","));
  }

 private:
  size_t Below(size_t limit) { return random_() % limit; }
  std::string Blanks() {
    if (Below(3) > 0) return "";
    std::string blanks(Below(4), ' ');
    for (char& c : blanks) c = " \t\r\n"[Below(4)];
    return blanks;
  }
  static std::string DoubleText(double value) {
    Column column(DataType::Double(), 1);
    column.mutable_values<double>()[0] = value;
    std::string text;
    AppendJsonValue(column, 0, &text);
    return text;
  }
  // As written, and as AppendJsonString writes it.
  std::pair<std::string, std::string> RandomString() {
    std::string written = "\"";
    std::string plain;
    const size_t size = Below(Below(10) == 0 ? 200 : 20);
    const bool escapes = Below(3) == 0;
    for (size_t i = 0; i < size; ++i) {
      switch (escapes ? Below(8) : 6 + Below(2)) {
        case 0:
          written += "\\n";
          plain += '\n';
          break;
        case 1:
          written += "\\\"";
          plain += '"';
          break;
        case 2:
          written += "\\\\";
          plain += '\\';
          break;
        case 3:
          written += "\\u00E9";
          plain += "é";
          break;
        case 4:
          written += "\\ud83d\\uDE00";
          plain += "😀";
          break;
        case 5:
          written += "\\/";
          plain += '/';
          break;
        case 6:
          written += "€";
          plain += "€";
          break;
        default: {
          const char c = "abc ,:{}[]09-.e"[Below(15)];
          written += c;
          plain += c;
        }
      }
    }
    std::string text;
    AppendJsonString(plain, &text);
    return {written + "\"", text};
  }
  std::string Name(const std::string& name) {
    if (name.empty() || Below(12) > 0) return fmt::format("\"{}\"", name);
    return fmt::format("\"\\u{:04x}{}\"", static_cast<int>(name[0]), name.substr(1));
  }
  std::string OtherName() {
    return std::vector<std::string>{
        "idx", "i", "names", "other", "", "nam\\u0065s", "In"}[Below(7)];
  }
  std::string Anything(size_t depth) {
    switch (Below(depth > 0 ? 9 : 7)) {
      case 0:
        return "null";
      case 1:
        return "true";
      case 2:
        return std::to_string(random_());
      case 3:
        return "1e400";
      case 4:
        return "-12345678901234567890123456789.5E+77";
      case 5:
        return "0";
      case 6:
        return RandomString().first;
      case 7: {
        std::string list = "[" + Blanks();
        for (size_t i = Below(4); i > 0; --i)
          list += Anything(depth - 1) + Blanks() + (i > 1 ? "," : "");
        return list + "]";
      }
      default: {
        std::string object = "{";
        for (size_t i = Below(4); i > 0; --i) {
          object += fmt::format("\"{}\":{}{}{}", i == 1 ? "id" : "tail", Blanks(),
                                Anything(depth - 1), i > 1 ? "," : "");
        }
        return object + "}";
      }
    }
  }

  std::mt19937_64& random_;
  std::string text_;
  std::string expected_;
};

std::string Verdict(JsonDocument* document, const std::string& text, bool padded) {
  TestRecords records({text}, padded);
  const auto error = document->Parse(records.records().records[0].value, padded);
  return error.has_value() ? std::string(BadReasonName(error->reason)) : "";
}

TEST(JsonDocumentTest, RandomDocumentsDecodeToWhatWasWritten) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 300; ++i) {
    std::vector<std::string> texts;
    std::string expected;
    for (int j = 0; j < 50; ++j) {
      RandomDocument document(&random);
      document.Write();
      ASSERT_TRUE(PlainChecker(document.text()).IsDocument()) << document.text();
      texts.push_back(document.text());
      expected += document.expected();
    }
    ASSERT_EQ(DecodeText(RandomDocument::TheSchema(), texts), expected)
        << fmt::format("{}", fmt::join(texts, "\n"));
  }
}

// Every mutation of a document is judged as by the plain checker; whatever simdjson's own parser
// takes is taken too.
TEST(JsonDocumentTest, MutatedDocumentsAreJudgedByTheGrammar) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  JsonDocument document(1024);
  simdjson::dom::parser simdjson_parser;
  const std::string pieces =
      "{}[]:,\"\"\"\\\\truefalsn0123456789-+.eEu \n\x01\x7f\x80\xC3\xA9\xFF\xEF\xBB\xBF";
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(4);
  size_t count = 0;
  size_t valid = 0;
  while (std::chrono::steady_clock::now() < end) {
    RandomDocument original(&random);
    original.Write();
    for (int i = 0; i < 20; ++i) {
      std::string text = original.text();
      for (size_t mutations = 1 + random() % 3; mutations > 0 && !text.empty(); --mutations) {
        const size_t at = random() % text.size();
        switch (random() % 4) {
          case 0:
            text[at] = pieces[random() % pieces.size()];
            break;
          case 1:
            text.erase(at, 1 + random() % 3);
            break;
          case 2:
            text.insert(at, 1, pieces[random() % pieces.size()]);
            break;
          default:
            text.resize(random() % 8 == 0 ? at : text.size());
            break;
        }
      }
      const bool is_valid = PlainChecker(text).IsDocument();
      const std::string verdict = Verdict(&document, text, random() % 2 == 0);
      ASSERT_EQ(verdict.empty() || verdict == "not_an_object", is_valid) << verdict << ": " << text;
      if (simdjson_parser.parse(text).error() == simdjson::SUCCESS) {
        ASSERT_TRUE(is_valid) << text;
      }
      ++count;
      valid += is_valid ? 1 : 0;
    }
  }
  EXPECT_GT(valid, count / 100);
  EXPECT_LT(valid, count);
}

TEST(JsonDocumentTest, MutatedChunksGiveARowOrAReasonForEachRecord) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(3);
  while (std::chrono::steady_clock::now() < end) {
    std::vector<std::string> texts;
    for (int i = 0; i < 40; ++i) {
      RandomDocument document(&random);
      document.Write();
      std::string text = document.text();
      for (size_t mutations = random() % 4; mutations > 0; --mutations)
        text[random() % text.size()] = static_cast<char>(random());
      texts.push_back(std::move(text));
    }
    // Checks rows + bad records == records, in both ways of padding.
    DecodeText(RandomDocument::TheSchema(), texts, false);
    DecodeText(RandomDocument::TheSchema().String("_corrupt_record"), texts, true);
    if (HasFailure()) break;
  }
}

// Whatever the bytes behind a document, they are not part of it.
TEST(JsonDocumentTest, TheBytesBehindADocumentDoNotMatter) {
  JsonDocument document(1024);
  for (const std::string text :
       {"{\"a\":1", "{\"a\":{\"b\":1}", "{\"a\":\"x", "{\"a\":[1]", "{\"a\":12", "{\"a\":tru",
        "{\"a\":1,", "{\"a\":", "{", "{\"a\":\"\\", "{\"a\":\"\\u00", "{\"a\":{}", "{\"a\":[[]]",
        "{\"a\""}) {
    for (const char* behind :
         {"}", "\"}", "]}", "1}", "e}", ",\"b\":1}", ":1}", "41\"}", "\"\"}", " }", "}}}}"}) {
      std::string memory = text + behind;
      memory.append(kRecordPadding, '}');
      const auto error =
          document.Parse(std::string_view(memory).substr(0, text.size()), /*padded=*/true);
      ASSERT_TRUE(error.has_value()) << text << " then " << behind;
      EXPECT_EQ(error->reason, BadReason::kParseError);
    }
  }
  std::string number = "1" + std::string(kRecordPadding, '2');
  const auto error = document.Parse(std::string_view(number).substr(0, 1), /*padded=*/true);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->reason, BadReason::kNotAnObject);
}

TEST(JsonDocumentTest, ManyBlanksBetweenTokens) {
  const std::string blanks(100'000, ' ');
  JsonDocument document(1024);
  const std::string text =
      fmt::format("{0}{{{0}\"a\"{0}:{0}[{0}12{0},{0}\"x\"{0}]{0}}}{0}", blanks);
  ASSERT_EQ(Verdict(&document, text, true), "");
  EXPECT_EQ(DecodeText(Schema().String("a"), {text}), "[\"[12,\\\"x\\\"]\"]\n");
}

TEST(JsonDocumentTest, SmallDocumentsAfterALargeOne) {
  JsonDocument document(1024);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Verdict(&document, "{\"a\":\"" + std::string(5'000'000, 'x') + "\"}", i % 2 == 0),
              "");
    EXPECT_EQ(Verdict(&document, "{\"a\":1}", i % 2 == 0), "");
    EXPECT_EQ(Verdict(&document, "{\"a\":1", i % 2 == 0), "parse_error");
  }
}

TEST(JsonDocumentTest, UnescapesEveryEscape) {
  const auto unescaped = [](std::string_view escaped) {
    std::string out(escaped.size(), '?');
    out.resize(UnescapeJson(escaped, out.data()));
    return out;
  };
  EXPECT_EQ(unescaped(""), "");
  EXPECT_EQ(unescaped(R"(\"\\\/\b\f\n\r\t)"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(unescaped(R"(\u0000\u007f\u0080\u07ff\u0800\uffff\uD800\uDC00\udbff\udfff)"),
            std::string("\0\x7f\u0080\u07ff\u0800\uffff\U00010000\U0010FFFF",
                        1 + 1 + 2 + 2 + 3 + 3 + 4 + 4));
  for (int unit = 0; unit < 0xD800; unit += 7) {
    std::string expected;
    Column column(DataType::String(), 1);
    const std::string text = unescaped(fmt::format("\\u{:04X}", unit));
    EXPECT_TRUE(IsValidUtf8(text));
    EXPECT_EQ(text.size(), unit < 0x80 ? 1u : unit < 0x800 ? 2u : 3u);
  }
}

}  // namespace
}  // namespace tidemark
