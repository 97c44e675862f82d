#include <cstdio>

#include "tidemark/engine/tool/checkpoint_commands.h"
#include "tidemark/engine/tool/checkpoint_view.h"
#include "tidemark/engine/tool/tool_text.h"

namespace tidemark {

absl::Status ExportCheckpoint(const std::string& folder, const std::string& name) {
  const absl::StatusOr<std::unique_ptr<CheckpointView>> view = CheckpointView::Open(folder);
  if (!view.ok()) return view.status();
  const absl::StatusOr<CopyView> copy = (*view)->OpenCopy(name);
  if (!copy.ok()) return copy.status();
  if (absl::Status status = copy->CheckNamed(); !status.ok()) return status;
  const std::unique_ptr<WindowTable> table = copy->OpenTable();
  const auto groups = copy->aggregation->Results(table->Scan(INT64_MIN, WindowTable::kNoWindow));
  while (true) {
    const absl::StatusOr<const RowBatch*> rows = groups->Next();
    if (!rows.ok()) return rows.status();
    if (*rows == nullptr) return absl::OkStatus();
    for (uint32_t row = 0; row < (*rows)->num_rows(); ++row) {
      const std::string line = RowJson(**rows, row) + "\n";
      if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size()) {
        return absl::UnavailableError("standard output cannot be written");
      }
    }
  }
}

}  // namespace tidemark
