#ifndef TIDEMARK_OPERATORS_EXPRESSIONS_TYPE_RULES_H_
#define TIDEMARK_OPERATORS_EXPRESSIONS_TYPE_RULES_H_

#include <optional>

#include "tidemark/operators/rows/types.h"

namespace tidemark {

// Types of results; all rules are Spark's (org.apache.spark.sql.catalyst: TypeCoercion,
// DecimalPrecision).

/// The narrowest decimal that holds every value of an integer type: decimal(10,0), decimal(20,0).
DataType DecimalOfInteger(const DataType& integer);

/// The type to which two operands of a comparison, or the values of If and Coalesce, are widened:
/// int32 -> int64 -> decimal -> double, date -> timestamp; nothing if there is none.
std::optional<DataType> CommonType(const DataType& a, const DataType& b);

// Results of decimal(p1,s1) op decimal(p2,s2). Past 38 digits the scale gives way, down to 6.
DataType DecimalSum(const DataType& a, const DataType& b);
DataType DecimalProduct(const DataType& a, const DataType& b);
DataType DecimalQuotient(const DataType& a, const DataType& b);
DataType DecimalRemainder(const DataType& a, const DataType& b);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_EXPRESSIONS_TYPE_RULES_H_
