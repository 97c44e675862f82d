#ifndef TIDEMARK_TESTS_OPERATORS_TRANSFORMS_TRANSFORM_ROWS_H_
#define TIDEMARK_TESTS_OPERATORS_TRANSFORMS_TRANSFORM_ROWS_H_

#include <memory>
#include <string>
#include <vector>

#include "operators/expressions/evaluate.h"
#include "tidemark/operators/rows/raw_records.h"
#include "tidemark/operators/transforms/transform.h"

namespace tidemark {

/// `a|b` per selected row, as RowKey writes values.
inline std::vector<std::string> RowTexts(const RowBatch& batch) {
  std::vector<std::string> texts;
  batch.selection().ForEach([&](uint32_t row) {
    std::string text;
    for (size_t i = 0; i < batch.columns().size(); ++i) {
      if (i > 0) text += '|';
      if (batch.column(i).IsNull(row)) {
        text += "null";
      } else {
        AppendValueText(batch.column(i), row, &text);
      }
    }
    texts.push_back(text);
  });
  return texts;
}

/// `index detail` per failed row; a reason other than kExpression shows.
inline std::vector<std::string> FailedTexts(const ChunkStats& stats) {
  std::vector<std::string> texts;
  for (const BadRecord& record : stats.failed) {
    texts.push_back(std::to_string(record.index) + " " +
                    (record.reason == BadReason::kExpression ? "" : "WRONG REASON ") +
                    record.detail);
  }
  return texts;
}

inline std::shared_ptr<const Schema> SchemaOf(const TestRows& rows) {
  return std::make_shared<const Schema>(rows.schema());
}

}  // namespace tidemark

#endif  // TIDEMARK_TESTS_OPERATORS_TRANSFORMS_TRANSFORM_ROWS_H_
