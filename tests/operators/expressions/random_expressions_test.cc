#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "operators/expressions/evaluate.h"

namespace tidemark {
namespace {

// Random typed expressions over random columns and selections, compared with an evaluator that
// takes one row at a time and does everything the obvious way.

struct NaiveValue {
  DataType type;
  std::optional<std::variant<bool, int64_t, double, std::string>> value;  // nothing: null
};
/// What the naive evaluator throws where an expression fails.
struct RowFailed {};

int64_t Int(const NaiveValue& v) { return std::get<int64_t>(*v.value); }
bool IsTrue(const NaiveValue& v) { return v.value && std::get<bool>(*v.value); }
double AsDouble(const NaiveValue& v) {
  return v.type == DataType::Double() ? std::get<double>(*v.value) : static_cast<double>(Int(v));
}

NaiveValue ReadCell(const Column& column, size_t row) {
  NaiveValue result{column.type(), std::nullopt};
  if (column.IsNull(row)) return result;
  switch (column.type().id) {
    case TypeId::kBool:
      result.value = column.values<uint8_t>()[row] != 0;
      break;
    case TypeId::kInt32:
      result.value = int64_t{column.values<int32_t>()[row]};
      break;
    case TypeId::kInt64:
      result.value = column.values<int64_t>()[row];
      break;
    case TypeId::kDouble:
      result.value = column.values<double>()[row];
      break;
    default:
      result.value = std::string(column.text(row));
  }
  return result;
}

class NaiveEvaluator {
 public:
  NaiveEvaluator(const RowBatch& batch, size_t row) : batch_(batch), row_(row) {}

  NaiveValue Evaluate(const Expr& expr) {
    const ExprNode& node = expr.node();
    if (node.kind == ExprKind::kColumn) {
      return ReadCell(batch_.column(*batch_.schema().Find(node.name)), row_);
    }
    if (node.kind == ExprKind::kLiteral) return FromLiteral(node.literal);
    const std::string& f = node.name;
    if (f == "and" || f == "or") return AndOr(f == "or", node);
    if (f == "if") {
      const NaiveValue taken = Evaluate(node.args[IsTrue(Evaluate(node.args[0])) ? 1 : 2]);
      return Widen(taken, TypeOfExpr(expr));
    }
    if (f == "coalesce") {
      for (const Expr& arg : node.args) {
        const NaiveValue value = Evaluate(arg);
        if (value.value) return Widen(value, TypeOfExpr(expr));
      }
      return {TypeOfExpr(expr), std::nullopt};
    }
    std::vector<NaiveValue> args;
    for (const Expr& arg : node.args) args.push_back(Evaluate(arg));
    if (f == "is_null") return {DataType::Bool(), !args[0].value};
    if (f == "is_not_null") return {DataType::Bool(), args[0].value.has_value()};
    for (const NaiveValue& arg : args) {
      if (!arg.value) return {TypeOfExpr(expr), std::nullopt};
    }
    return Strict(f, args, TypeOfExpr(expr));
  }

 private:
  static NaiveValue FromLiteral(const Literal& literal) {
    NaiveValue result{literal.type, std::nullopt};
    if (const auto* b = std::get_if<bool>(&literal.value)) result.value = *b;
    if (const auto* i = std::get_if<int64_t>(&literal.value)) result.value = *i;
    if (const auto* d = std::get_if<double>(&literal.value)) result.value = *d;
    if (const auto* s = std::get_if<std::string>(&literal.value)) result.value = *s;
    return result;
  }

  DataType TypeOfExpr(const Expr& expr) const { return Bind(expr, batch_.schema())->type(); }

  static NaiveValue Widen(NaiveValue value, DataType type) {
    if (value.value && type == DataType::Double() && value.type != type)
      value.value = AsDouble(value);
    value.type = type;
    return value;
  }

  NaiveValue AndOr(bool is_or, const ExprNode& node) {
    const NaiveValue left = Evaluate(node.args[0]);
    if (left.value && std::get<bool>(*left.value) == is_or) return left;
    const NaiveValue right = Evaluate(node.args[1]);
    if (right.value && std::get<bool>(*right.value) == is_or) return right;
    if (!left.value || !right.value) return {DataType::Bool(), std::nullopt};
    return {DataType::Bool(), !is_or};
  }

  static NaiveValue Checked(Int128 result, DataType type, bool is_try) {
    const bool fits = type == DataType::Int32() ? result == static_cast<int32_t>(result)
                                                : result == static_cast<int64_t>(result);
    if (fits) return {type, static_cast<int64_t>(result)};
    if (is_try) return {type, std::nullopt};
    throw RowFailed();
  }

  static NaiveValue Arithmetic(std::string f, const NaiveValue& a, const NaiveValue& b,
                               DataType type) {
    const bool is_try = f.starts_with("try_");
    if (is_try) f = f.substr(4);
    if ((f == "divide" || f == "remainder") && AsDouble(b) == 0) {
      if (is_try) return {type, std::nullopt};
      throw RowFailed();
    }
    if (type == DataType::Double()) {
      const double x = AsDouble(a), y = AsDouble(b);
      if (f == "add") return {type, x + y};
      if (f == "subtract") return {type, x - y};
      if (f == "multiply") return {type, x * y};
      if (f == "divide") return {type, x / y};
      return {type, std::fmod(x, y)};
    }
    const Int128 x = Int(a), y = Int(b);
    if (f == "add") return Checked(x + y, type, is_try);
    if (f == "subtract") return Checked(x - y, type, is_try);
    if (f == "multiply") return Checked(x * y, type, is_try);
    return Checked(x % y, type, is_try);
  }

  static int Order(const NaiveValue& a, const NaiveValue& b) {
    if (a.type == DataType::String()) {
      const int order = std::get<std::string>(*a.value).compare(std::get<std::string>(*b.value));
      return order < 0 ? -1 : order > 0;
    }
    if (a.type == DataType::Bool()) return int{IsTrue(a)} - int{IsTrue(b)};
    if (a.type == DataType::Double() || b.type == DataType::Double()) {
      const double x = AsDouble(a), y = AsDouble(b);
      if (std::isnan(x) || std::isnan(y)) return int{std::isnan(x)} - int{std::isnan(y)};
      return x < y ? -1 : x > y;
    }
    return Int(a) < Int(b) ? -1 : Int(a) > Int(b);
  }

  static NaiveValue Strict(const std::string& f, const std::vector<NaiveValue>& args,
                           DataType type) {
    static const std::map<std::string, bool (*)(int)> kComparisons = {
        {"equal", [](int o) { return o == 0; }},  {"not_equal", [](int o) { return o != 0; }},
        {"less", [](int o) { return o < 0; }},    {"less_equal", [](int o) { return o <= 0; }},
        {"greater", [](int o) { return o > 0; }}, {"greater_equal", [](int o) { return o >= 0; }}};
    if (const auto it = kComparisons.find(f); it != kComparisons.end()) {
      return {type, it->second(Order(args[0], args[1]))};
    }
    if (f == "not") return {type, !IsTrue(args[0])};
    if (f == "negate") {
      if (type == DataType::Double()) return {type, -AsDouble(args[0])};
      return Checked(-Int128{Int(args[0])}, type, false);
    }
    if (f == "cast" || f == "try_cast") return NaiveCast(args[0], type, f == "try_cast");
    if (f == "length") {
      int64_t count = 0;
      for (char c : std::get<std::string>(*args[0].value)) count += (c & 0xC0) != 0x80;
      return {type, count};
    }
    if (f == "concat") {
      std::string text;
      for (const NaiveValue& arg : args) text += std::get<std::string>(*arg.value);
      return {type, text};
    }
    if (f == "upper" || f == "lower") {
      std::string text = std::get<std::string>(*args[0].value);
      for (char& c : text) {
        if (f == "upper" && c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
        if (f == "lower" && c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
      }
      return {type, text};
    }
    return Arithmetic(f, args[0], args[1], type);
  }

  static NaiveValue NaiveCast(const NaiveValue& v, DataType to, bool is_try) {
    if (to == v.type) return v;
    if (to == DataType::Double())
      return {to, v.type == DataType::Bool() ? (IsTrue(v) ? 1.0 : 0.0) : AsDouble(v)};
    if (to == DataType::Bool()) return {to, AsDouble(v) != 0};
    if (v.type == DataType::Bool()) return {to, int64_t{IsTrue(v)}};
    if (v.type != DataType::Double()) return Checked(Int(v), to, is_try);
    const double d = AsDouble(v);
    if (std::fabs(d) < 1e30) return Checked(static_cast<Int128>(d), to, is_try);
    if (is_try) return {to, std::nullopt};
    throw RowFailed();
  }

  const RowBatch& batch_;
  size_t row_;
};

std::string TextOf(const NaiveValue& v) {
  if (!v.value) return "null";
  if (const auto* b = std::get_if<bool>(&*v.value)) return *b ? "true" : "false";
  if (const auto* i = std::get_if<int64_t>(&*v.value)) return std::to_string(*i);
  if (const auto* s = std::get_if<std::string>(&*v.value)) return *s;
  std::string text;
  AppendDouble(std::get<double>(*v.value), &text);
  return text;
}

class ExpressionGenerator {
 public:
  explicit ExpressionGenerator(uint64_t seed) : random_(seed) {}

  size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }
  bool Chance(int percent) { return Below(100) < static_cast<size_t>(percent); }

  int64_t AnInt() {
    constexpr int64_t kEdges[] = {0,         1,         -1,        2,         10,
                                  INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, INT64_MAX / 2};
    return Chance(60) ? kEdges[Below(10)] : static_cast<int64_t>(Below(20)) - 10;
  }
  int32_t AnInt32() {
    constexpr int32_t kEdges[] = {0, 1, -1, INT32_MAX, INT32_MIN, 46341};
    return Chance(60) ? kEdges[Below(6)] : static_cast<int32_t>(Below(20)) - 10;
  }
  double ADouble() {
    constexpr double kInf = std::numeric_limits<double>::infinity();
    constexpr double kEdges[] = {
        0.0,   -0.0,   kInf, -kInf,  std::numeric_limits<double>::quiet_NaN(),
        1e308, 5e-324, 0.5,  9.3e18, -9.3e18};
    return Chance(60) ? kEdges[Below(10)] : static_cast<double>(Below(100)) / 8 - 6;
  }
  std::string AText() {
    const std::string kTexts[] = {"",
                                  "a",
                                  "A",
                                  "b",
                                  "aB",
                                  "\xC3\xA9",
                                  "\xF0\x9D\x84\x9E"
                                  "x",
                                  "zz"};
    return kTexts[Below(8)];
  }

  TestRows Rows(size_t count) {
    TestRows rows;
    const int null_percent = Chance(30) ? 0 : 25;
    const auto fill = [&]<typename T>(auto make) {
      std::vector<std::optional<T>> values(count);
      for (auto& value : values) {
        if (!Chance(null_percent)) value = make();
      }
      return values;
    };
    for (const char* suffix : {"1", "2"}) {
      const std::string s = suffix;
      rows.Bools("b" + s,
                 fill.operator()<uint8_t>([&] { return static_cast<uint8_t>(Chance(50)); }));
      rows.Int32s("i" + s, fill.operator()<int32_t>([&] { return AnInt32(); }));
      rows.Int64s("l" + s, fill.operator()<int64_t>([&] { return AnInt(); }));
      rows.Doubles("d" + s, fill.operator()<double>([&] { return ADouble(); }));
      rows.Strings("s" + s, fill.operator()<std::string>([&] { return AText(); }));
    }
    return rows;
  }

  Selection Rows(const TestRows& rows) {
    const size_t count = rows.batch().num_rows();
    if (Chance(40)) return Selection::All(count);
    std::vector<uint32_t> kept;
    for (uint32_t row = 0; row < count; ++row) {
      if (Chance(50)) kept.push_back(row);
    }
    return Selection::Rows(std::move(kept));
  }

  Expr Bool(int depth) {
    if (depth <= 0)
      return Chance(80) ? Col(Pick("b")) : Chance(70) ? Lit(Chance(50)) : NullOf(DataType::Bool());
    switch (Below(8)) {
      case 0:
        return Bool(depth - 1) && Bool(depth - 1);
      case 1:
        return Bool(depth - 1) || Bool(depth - 1);
      case 2:
        return !Bool(depth - 1);
      case 3:
        return Chance(50) ? IsNull(Number(depth - 1)) : IsNotNull(Text(depth - 1));
      case 4:
        return Compare(Text(depth - 1), Text(depth - 1));
      case 5:
        return Chance(50) ? If(Bool(depth - 1), Bool(depth - 1), Bool(depth - 1))
                          : Compare(Bool(depth - 1), Bool(depth - 1));
      default:
        return Compare(Number(depth - 1), Number(depth - 1));
    }
  }

  Expr Number(int depth) {
    if (depth <= 0) {
      switch (Below(7)) {
        case 0:
          return Col(Pick("i"));
        case 1:
        case 2:
          return Col(Pick("l"));
        case 3:
          return Col(Pick("d"));
        case 4:
          return Lit(AnInt32());
        case 5:
          return Lit(AnInt());
        default:
          return Chance(70) ? Lit(ADouble()) : NullOf(DataType::Int64());
      }
    }
    const Expr a = Number(depth - 1);
    switch (Below(13)) {
      case 0:
        return a + Number(depth - 1);
      case 1:
        return a - Number(depth - 1);
      case 2:
        return a * Number(depth - 1);
      case 3:
        return a / Number(depth - 1);
      case 4:
        return a % Number(depth - 1);
      case 5:
        return -a;
      case 6:
        return Chance(50) ? TryAdd(a, Number(depth - 1)) : TrySubtract(a, Number(depth - 1));
      case 7:
        return Chance(50) ? TryMultiply(a, Number(depth - 1)) : TryDivide(a, Number(depth - 1));
      case 8:
        return If(Bool(depth - 1), a, Number(depth - 1));
      case 9:
        return Coalesce(a, Number(depth - 1), Number(depth - 1));
      case 10:
        return Length(Text(depth - 1));
      case 11:
        return Chance(50) ? Cast(a, NumberType()) : Cast(Bool(depth - 1), NumberType());
      default:
        return TryCast(a, NumberType());
    }
  }

  Expr Text(int depth) {
    if (depth <= 0)
      return Chance(70) ? Col(Pick("s")) : Chance(80) ? Lit(AText()) : NullOf(DataType::String());
    switch (Below(4)) {
      case 0:
        return Concat(Text(depth - 1), Text(depth - 1));
      case 1:
        return Chance(50) ? Upper(Text(depth - 1)) : Lower(Text(depth - 1));
      case 2:
        return If(Bool(depth - 1), Text(depth - 1), Text(depth - 1));
      default:
        return Coalesce(Text(depth - 1), Text(depth - 1));
    }
  }

 private:
  std::string Pick(const char* prefix) { return prefix + std::string(Chance(50) ? "1" : "2"); }
  DataType NumberType() {
    const DataType types[] = {DataType::Int32(), DataType::Int64(), DataType::Double()};
    return types[Below(3)];
  }
  Expr Compare(const Expr& a, const Expr& b) {
    switch (Below(6)) {
      case 0:
        return a == b;
      case 1:
        return a != b;
      case 2:
        return a < b;
      case 3:
        return a <= b;
      case 4:
        return a > b;
      default:
        return a >= b;
    }
  }

  std::mt19937_64 random_;
};

TEST(RandomExpressionsTest, AgreeWithANaiveEvaluator) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  RecordProperty("seed", std::to_string(seed));
  ExpressionGenerator generator(seed);
  int failed_rows = 0, values = 0, nulls = 0;
  for (int round = 0; round < 4000; ++round) {
    const TestRows rows = generator.Rows(1 + generator.Below(70));
    const Selection selection = generator.Rows(rows);
    const int depth = 1 + static_cast<int>(generator.Below(4));
    const Expr expr = generator.Chance(40)   ? generator.Bool(depth)
                      : generator.Chance(70) ? generator.Number(depth)
                                             : generator.Text(depth);
    SCOPED_TRACE(expr.ToString());
    const RowBatch batch = rows.batch();
    std::vector<std::string> expected;
    selection.ForEach([&](uint32_t row) {
      try {
        expected.push_back(TextOf(NaiveEvaluator(batch, row).Evaluate(expr)));
        ++(expected.back() == "null" ? nulls : values);
      } catch (const RowFailed&) {
        expected.push_back("!");
        ++failed_rows;
      }
    });
    std::vector<std::string> actual = Evaluate(expr, rows, selection);
    for (std::string& text : actual) {
      if (!text.empty() && text[0] == '!') text = "!";
    }
    ASSERT_EQ(actual, expected);
  }
  // The comparison is worth something only if all three happen often.
  EXPECT_GT(failed_rows, 1000);
  EXPECT_GT(values, 10'000);
  EXPECT_GT(nulls, 1000);
}

}  // namespace
}  // namespace tidemark
