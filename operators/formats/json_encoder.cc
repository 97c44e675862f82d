#include "tidemark/operators/formats/json_encoder.h"

#include <string>
#include <vector>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

class JsonEncoder : public Encoder {
 public:
  explicit JsonEncoder(const Schema& rows) {
    for (const Field& field : rows.fields()) {
      std::string name(1, ',');
      AppendJsonString(field.name, &name);
      names_.push_back(name + ':');
    }
  }

  absl::Status Encode(const RowBatch& rows, std::string* bytes,
                      std::vector<size_t>* ends) override {
    rows.selection().ForEach([&](uint32_t row) {
      const size_t begin = bytes->size();
      for (size_t i = 0; i < names_.size(); ++i) {
        const Column& column = rows.column(i);
        if (column.IsNull(row)) continue;
        bytes->append(names_[i]);
        AppendJsonValue(column, row, bytes);
      }
      if (bytes->size() == begin) bytes->push_back(',');
      (*bytes)[begin] = '{';  // was the first member's comma
      bytes->push_back('}');
      ends->push_back(bytes->size());
    });
    return absl::OkStatus();
  }

 private:
  std::vector<std::string> names_;  // `,"name":`, one a column
};

}  // namespace

absl::StatusOr<std::unique_ptr<Encoder>> MakeJsonEncoder(const FormatSpec& /*spec*/,
                                                         const Schema& rows) {
  return std::make_unique<JsonEncoder>(rows);
}

}  // namespace tidemark
