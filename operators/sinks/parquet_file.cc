#include "tidemark/operators/sinks/parquet_file.h"

#include <arrow/api.h>
#include <arrow/io/interfaces.h>
#include <fmt/format.h>
#include <parquet/arrow/writer.h>
#include <parquet/exception.h>
#include <parquet/properties.h>

#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace tidemark {
namespace {

absl::Status FromArrow(const arrow::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const std::string message = "cannot write Parquet: " + status.ToString();
  return status.IsOutOfMemory() ? absl::ResourceExhaustedError(message)
                                : absl::InternalError(message);
}

// What Arrow writes goes to a WriteBytes; its first error is kept and nothing is written after it.
class BytesStream : public arrow::io::OutputStream {
 public:
  explicit BytesStream(WriteBytes write) : write_(std::move(write)) {}

  using arrow::io::OutputStream::Write;
  arrow::Status Write(const void* data, int64_t size) override {
    if (error_.ok()) {
      error_ = write_({static_cast<const char*>(data), static_cast<size_t>(size)});
    }
    if (!error_.ok()) return arrow::Status::IOError("see error()");
    position_ += size;
    return arrow::Status::OK();
  }
  arrow::Result<int64_t> Tell() const override { return position_; }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }

  const absl::Status& error() const { return error_; }
  // Nothing is written any more, and that is no failure of ours.
  void GiveUp() { error_ = absl::CancelledError("given up"); }

 private:
  const WriteBytes write_;
  absl::Status error_;
  int64_t position_ = 0;
  bool closed_ = false;
};

std::shared_ptr<arrow::DataType> ArrowType(const DataType& type) {
  switch (type.id) {
    case TypeId::kBool:
      return arrow::boolean();
    case TypeId::kInt32:
      return arrow::int32();
    case TypeId::kInt64:
      return arrow::int64();
    case TypeId::kDouble:
      return arrow::float64();
    case TypeId::kDecimal:
      return arrow::decimal128(type.precision, type.scale);
    case TypeId::kString:
      return arrow::utf8();
    case TypeId::kBytes:
      return arrow::binary();
    case TypeId::kDate:
      return arrow::date32();
    case TypeId::kTimestamp:
      return arrow::timestamp(arrow::TimeUnit::MICRO, "UTC");
  }
  return arrow::null();
}

// Calls append(row) for each of these rows, and append_null() where the column is null.
template <typename Append, typename AppendNull>
void ForEach(const Column& column, const Selection& selected, size_t first, size_t count,
             Append append, AppendNull append_null) {
  for (size_t i = first; i < first + count; ++i) {
    const uint32_t row = selected[i];
    if (column.IsNull(row)) {
      append_null();
    } else {
      append(row);
    }
  }
}

template <typename Builder, typename T>
arrow::Status AppendNumbers(const Column& column, const Selection& selected, size_t first,
                            size_t count, arrow::ArrayBuilder* any) {
  auto* builder = static_cast<Builder*>(any);
  ARROW_RETURN_NOT_OK(builder->Reserve(static_cast<int64_t>(count)));
  const T* values = column.values<T>();
  ForEach(
      column, selected, first, count, [&](uint32_t row) { builder->UnsafeAppend(values[row]); },
      [&] { builder->UnsafeAppendNull(); });
  return arrow::Status::OK();
}

arrow::Status AppendDecimals(const Column& column, const Selection& selected, size_t first,
                             size_t count, arrow::ArrayBuilder* any) {
  auto* builder = static_cast<arrow::Decimal128Builder*>(any);
  ARROW_RETURN_NOT_OK(builder->Reserve(static_cast<int64_t>(count)));
  const Int128* values = column.values<Int128>();
  ForEach(
      column, selected, first, count,
      [&](uint32_t row) {
        const Int128 value = values[row];
        builder->UnsafeAppend(
            arrow::Decimal128(static_cast<int64_t>(value >> 64), static_cast<uint64_t>(value)));
      },
      [&] { builder->UnsafeAppendNull(); });
  return arrow::Status::OK();
}

arrow::Status AppendText(const Column& column, const Selection& selected, size_t first,
                         size_t count, arrow::ArrayBuilder* any) {
  auto* builder = static_cast<arrow::BinaryBuilder*>(any);
  int64_t bytes = 0;
  for (size_t i = first; i < first + count; ++i) {
    if (!column.IsNull(selected[i])) bytes += static_cast<int64_t>(column.text(selected[i]).size());
  }
  ARROW_RETURN_NOT_OK(builder->Reserve(static_cast<int64_t>(count)));
  ARROW_RETURN_NOT_OK(builder->ReserveData(bytes));
  ForEach(
      column, selected, first, count,
      [&](uint32_t row) {
        const std::string_view text = column.text(row);
        // Arrow hands it to memcpy, which takes no null pointer even for no bytes.
        builder->UnsafeAppend(text.empty() ? std::string_view("") : text);
      },
      [&] { builder->UnsafeAppendNull(); });
  return arrow::Status::OK();
}

arrow::Status AppendColumn(const Column& column, const Selection& selected, size_t first,
                           size_t count, arrow::ArrayBuilder* builder) {
  switch (column.type().id) {
    case TypeId::kBool:
      return AppendNumbers<arrow::BooleanBuilder, uint8_t>(column, selected, first, count, builder);
    case TypeId::kInt32:
      return AppendNumbers<arrow::Int32Builder, int32_t>(column, selected, first, count, builder);
    case TypeId::kInt64:
      return AppendNumbers<arrow::Int64Builder, int64_t>(column, selected, first, count, builder);
    case TypeId::kDouble:
      return AppendNumbers<arrow::DoubleBuilder, double>(column, selected, first, count, builder);
    case TypeId::kDate:
      return AppendNumbers<arrow::Date32Builder, int32_t>(column, selected, first, count, builder);
    case TypeId::kTimestamp:
      return AppendNumbers<arrow::TimestampBuilder, int64_t>(column, selected, first, count,
                                                             builder);
    case TypeId::kDecimal:
      return AppendDecimals(column, selected, first, count, builder);
    case TypeId::kString:
    case TypeId::kBytes:
      return AppendText(column, selected, first, count, builder);
  }
  return arrow::Status::NotImplemented("type");
}

class ArrowParquetFile : public ParquetFile {
 public:
  explicit ArrowParquetFile(WriteBytes write)
      : stream_(std::make_shared<BytesStream>(std::move(write))) {}

  // Without Finish, what Arrow would still write when it is destroyed goes nowhere.
  ~ArrowParquetFile() override { stream_->GiveUp(); }

  absl::Status Open(const Schema& schema) {
    return Guarded([&] { return DoOpen(schema); });
  }
  absl::Status Append(const RowBatch& rows, size_t first, size_t count) override {
    return Guarded([&] { return DoAppend(rows, first, count); });
  }
  absl::Status EndRowGroup() override {
    return Guarded([&] { return DoEndRowGroup(); });
  }
  absl::Status Finish() override {
    return Guarded([&] {
      ARROW_RETURN_NOT_OK(DoEndRowGroup());
      return writer_->Close();
    });
  }

 private:
  // Arrow's errors and exceptions end here.
  template <typename Call>
  absl::Status Guarded(Call call) {
    absl::Status status;
    try {
      status = FromArrow(call());
    } catch (const std::bad_alloc&) {
      status = absl::ResourceExhaustedError("cannot write Parquet: out of memory");
    } catch (const std::exception& error) {
      status = absl::InternalError(fmt::format("cannot write Parquet: {}", error.what()));
    }
    return stream_->error().ok() ? status : stream_->error();
  }

  arrow::Status DoOpen(const Schema& schema) {
    // The program's own allocator, not the one Arrow brings along.
    arrow::MemoryPool* const pool = arrow::system_memory_pool();
    arrow::FieldVector fields;
    for (const Field& field : schema.fields()) {
      fields.push_back(arrow::field(field.name, ArrowType(field.type)));
    }
    schema_ = arrow::schema(std::move(fields));
    for (const std::shared_ptr<arrow::Field>& field : schema_->fields()) {
      ARROW_ASSIGN_OR_RAISE(std::unique_ptr<arrow::ArrayBuilder> builder,
                            arrow::MakeBuilder(field->type(), pool));
      builders_.push_back(std::move(builder));
    }
    std::shared_ptr<parquet::WriterProperties> properties =
        parquet::WriterProperties::Builder()
            .memory_pool(pool)
            ->compression(parquet::Compression::ZSTD)
            ->created_by("Tidemark")
            ->enable_store_decimal_as_integer()
            ->build();
    ARROW_ASSIGN_OR_RAISE(
        writer_, parquet::arrow::FileWriter::Open(*schema_, pool, stream_, std::move(properties)));
    return arrow::Status::OK();
  }

  arrow::Status DoAppend(const RowBatch& rows, size_t first, size_t count) {
    for (size_t i = 0; i < builders_.size(); ++i) {
      ARROW_RETURN_NOT_OK(
          AppendColumn(rows.column(i), rows.selection(), first, count, builders_[i].get()));
    }
    rows_ += static_cast<int64_t>(count);
    return arrow::Status::OK();
  }

  arrow::Status DoEndRowGroup() {
    if (rows_ == 0) return arrow::Status::OK();
    arrow::ArrayVector columns;
    for (const std::unique_ptr<arrow::ArrayBuilder>& builder : builders_) {
      ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Array> column, builder->Finish());
      columns.push_back(std::move(column));
    }
    return writer_->WriteTable(*arrow::Table::Make(schema_, std::move(columns)),
                               std::exchange(rows_, 0));
  }

  const std::shared_ptr<BytesStream> stream_;  // shared with the writer, as Arrow wants it
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<std::unique_ptr<arrow::ArrayBuilder>> builders_;  // the open row group
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
  int64_t rows_ = 0;  // in the open row group
};

class ArrowParquetLibrary : public ParquetLibrary {
 public:
  absl::StatusOr<std::unique_ptr<ParquetFile>> NewFile(const Schema& schema,
                                                       WriteBytes write) const override {
    auto file = std::make_unique<ArrowParquetFile>(std::move(write));
    absl::Status status = file->Open(schema);
    if (!status.ok()) return status;
    return file;
  }
};

}  // namespace
}  // namespace tidemark

// What LoadParquetLibrary looks up.
extern "C" __attribute__((visibility("default"))) const tidemark::ParquetLibrary*
TidemarkParquetLibrary() {
  static const tidemark::ArrowParquetLibrary library;
  return &library;
}
