#include "tidemark/operators/expressions/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

Expr MakeExpr(ExprNode node) { return Expr(std::make_shared<const ExprNode>(std::move(node))); }

Literal Unreadable(DataType type, std::string_view text) { return {type, std::string(text), true}; }

bool IsPlainName(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

/// `text` between two `quote` characters, those inside and backslashes escaped by a backslash.
std::string Quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (char c : text) {
    if (c == quote || c == '\\') out += '\\';
    out += c;
  }
  return out + quote;
}

std::string QuotedIfNeeded(std::string_view name) {
  return IsPlainName(name) ? std::string(name) : Quoted(name, '`');
}

/// The text of a literal's value without quotes or suffix: what Name shows.
std::string ValueText(const Literal& literal) {
  if (std::holds_alternative<std::monostate>(literal.value)) return "NULL";
  if (literal.unreadable) return std::get<std::string>(literal.value);
  std::string out;
  switch (literal.type.id) {
    case TypeId::kBool:
      return std::get<bool>(literal.value) ? "true" : "false";
    case TypeId::kInt32:
    case TypeId::kInt64:
      return std::to_string(std::get<int64_t>(literal.value));
    case TypeId::kDouble:
      AppendDouble(std::get<double>(literal.value), &out);
      return out;
    case TypeId::kDecimal: {
      const std::optional<Int128> unscaled =
          ParseDecimal(std::get<std::string>(literal.value), 38, 0);
      AppendDecimal(unscaled.value_or(0), literal.type.scale, &out);
      return out;
    }
    case TypeId::kString:
    case TypeId::kBytes:
      return std::get<std::string>(literal.value);
    case TypeId::kDate:
      AppendDate(static_cast<int32_t>(std::get<int64_t>(literal.value)), &out);
      return out;
    case TypeId::kTimestamp:
      AppendTimestamp(std::get<int64_t>(literal.value), &out);
      return out;
  }
  return out;
}

std::string CanonicalLiteral(const Literal& literal) {
  if (std::holds_alternative<std::monostate>(literal.value)) {
    return fmt::format("null({})", literal.type.ToString());
  }
  const std::string text = ValueText(literal);
  switch (literal.type.id) {
    case TypeId::kBool:
    case TypeId::kInt32:
      return text;
    case TypeId::kInt64:
      return text + "L";
    case TypeId::kDouble:
      return text + "D";
    case TypeId::kString:
      return Quoted(text, '\'');
    default:
      return fmt::format("{} {}", literal.type.ToString(), Quoted(text, '\''));
  }
}

std::string Canonical(const ExprNode& node) {
  if (node.kind == ExprKind::kColumn) return QuotedIfNeeded(node.name);
  if (node.kind == ExprKind::kLiteral) return CanonicalLiteral(node.literal);
  std::string out = node.name + "(";
  for (size_t i = 0; i < node.args.size(); ++i) {
    if (i > 0) out += ", ";
    out += Canonical(node.args[i].node());
  }
  if (node.name == "cast" || node.name == "try_cast") out += ", " + node.target.ToString();
  return out + ")";
}

std::string SparkTypeName(const DataType& type) {
  switch (type.id) {
    case TypeId::kBool:
      return "BOOLEAN";
    case TypeId::kInt32:
      return "INT";
    case TypeId::kInt64:
      return "BIGINT";
    case TypeId::kDouble:
      return "DOUBLE";
    case TypeId::kDecimal:
      return fmt::format("DECIMAL({},{})", type.precision, type.scale);
    case TypeId::kString:
      return "STRING";
    case TypeId::kBytes:
      return "BINARY";
    case TypeId::kDate:
      return "DATE";
    case TypeId::kTimestamp:
      return "TIMESTAMP";
  }
  return "";
}

struct Infix {
  std::string_view function;
  std::string_view symbol;
};
constexpr Infix kInfix[] = {
    {"add", "+"},       {"subtract", "-"},       {"multiply", "*"}, {"divide", "/"},
    {"remainder", "%"}, {"equal", "="},          {"less", "<"},     {"less_equal", "<="},
    {"greater", ">"},   {"greater_equal", ">="}, {"and", "AND"},    {"or", "OR"},
};

/// As Spark names a column that has no alias.
std::string SparkText(const ExprNode& node) {
  if (node.kind == ExprKind::kColumn) return node.name;
  if (node.kind == ExprKind::kLiteral) return ValueText(node.literal);
  std::vector<std::string> args;
  for (const Expr& arg : node.args) args.push_back(SparkText(arg.node()));
  if (args.size() == 2) {
    for (const Infix& infix : kInfix) {
      if (infix.function == node.name) {
        return fmt::format("({} {} {})", args[0], infix.symbol, args[1]);
      }
    }
    if (node.name == "not_equal") return fmt::format("(NOT ({} = {}))", args[0], args[1]);
  }
  if (args.size() == 1) {
    if (node.name == "negate") return fmt::format("(- {})", args[0]);
    if (node.name == "not") return fmt::format("(NOT {})", args[0]);
    if (node.name == "is_null") return fmt::format("({} IS NULL)", args[0]);
    if (node.name == "is_not_null") return fmt::format("({} IS NOT NULL)", args[0]);
    if (node.name == "cast" || node.name == "try_cast") {
      return fmt::format("{}({} AS {})", node.name == "cast" ? "CAST" : "TRY_CAST", args[0],
                         SparkTypeName(node.target));
    }
  }
  if (node.name == "if") return fmt::format("(IF({}))", fmt::join(args, ", "));
  return fmt::format("{}({})", node.name, fmt::join(args, ", "));
}

}  // namespace

Expr Expr::As(std::string name) const {
  ExprNode node = *node_;
  node.alias = std::move(name);
  return MakeExpr(std::move(node));
}

std::string Expr::Name() const { return node_->alias.empty() ? SparkText(*node_) : node_->alias; }

std::string Expr::ToString() const {
  const std::string text = Canonical(*node_);
  return node_->alias.empty() ? text : fmt::format("{} as {}", text, QuotedIfNeeded(node_->alias));
}

Expr Col(std::string name) {
  ExprNode node;
  node.kind = ExprKind::kColumn;
  node.name = std::move(name);
  return MakeExpr(std::move(node));
}

Expr Call(std::string function, std::vector<Expr> args) {
  ExprNode node;
  node.kind = ExprKind::kCall;
  node.name = std::move(function);
  node.args = std::move(args);
  return MakeExpr(std::move(node));
}

Expr LiteralExpr(Literal literal) {
  ExprNode node;
  node.kind = ExprKind::kLiteral;
  node.literal = std::move(literal);
  return MakeExpr(std::move(node));
}

Expr NullOf(DataType type) { return LiteralExpr({type, std::monostate()}); }

Expr TimestampLit(std::string_view text) {
  const std::optional<int64_t> micros = ParseTimestamp(text);
  if (!micros) return LiteralExpr(Unreadable(DataType::Timestamp(), text));
  return LiteralExpr({DataType::Timestamp(), *micros});
}

Expr TimestampLit(absl::Time time) {
  return LiteralExpr({DataType::Timestamp(), absl::ToUnixMicros(time)});
}

Expr DateLit(std::string_view text) {
  const std::optional<int32_t> days = ParseDate(text);
  if (!days) return LiteralExpr(Unreadable(DataType::Date(), text));
  return LiteralExpr({DataType::Date(), int64_t{*days}});
}

Expr DecimalLit(std::string_view text) {
  const size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  const std::string_view number = text.substr(sign);
  const size_t point = number.find('.');
  std::string digits(number.substr(0, point));
  const size_t scale = point == std::string_view::npos ? 0 : number.size() - point - 1;
  if (point != std::string_view::npos) digits += number.substr(point + 1);
  const bool only_digits = !digits.empty() && std::all_of(digits.begin(), digits.end(), [](char c) {
    return c >= '0' && c <= '9';
  });
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  const size_t precision = std::max<size_t>({digits.size(), scale, 1});
  if (!only_digits || precision > 38) {
    return LiteralExpr(Unreadable(DataType::Decimal(38, 0), text));
  }
  std::string unscaled(sign == 1 && text[0] == '-' && !digits.empty() ? "-" : "");
  unscaled += digits.empty() ? "0" : digits;
  return LiteralExpr(
      {DataType::Decimal(static_cast<uint8_t>(precision), static_cast<uint8_t>(scale)), unscaled});
}

Expr operator-(const Expr& value) { return Call("negate", {value}); }
Expr operator!(const Expr& condition) { return Call("not", {condition}); }

}  // namespace tidemark
