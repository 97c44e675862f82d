#include "bench/report.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace tidemark {
namespace {

std::string Number(double value) {
  return std::isfinite(value) ? fmt::format("{:.6g}", value) : std::string("null");
}

void AppendLine(const std::string& line) {
  const char* path = std::getenv("TIDEMARK_BENCH_REPORT");
  if (path == nullptr || *path == '\0') return;
  std::FILE* file = std::fopen(path, "a");
  if (file == nullptr || std::fprintf(file, "%s\n", line.c_str()) < 0) {
    fmt::print(stderr, "cannot append to {}, which TIDEMARK_BENCH_REPORT names\n", path);
    std::exit(1);
  }
  std::fclose(file);
}

}  // namespace

void ReportFigure(const Figure& figure) {
  const bool compared = figure.theirs != 0;
  const double ratio = figure.ratio != 0 ? figure.ratio : figure.ours / figure.theirs;
  fmt::print("bar {}: {}: {}{} {}{}\n", figure.bar, figure.what, Number(figure.ours),
             compared ? " to " + Number(figure.theirs) : "", figure.unit,
             compared ? fmt::format(", ratio {:.3f}", ratio) : "");
  std::fflush(stdout);
  AppendLine(fmt::format(R"({{"bar":{},"what":"{}","ours":{},"theirs":{},"ratio":{},"unit":"{}"}})",
                         figure.bar, figure.what, Number(figure.ours),
                         compared ? Number(figure.theirs) : "null",
                         compared ? Number(ratio) : "null", figure.unit));
}

void ReportPoint(std::string_view chart, std::string_view series, double x, double y,
                 std::string_view unit) {
  fmt::print("chart {}: {}: {} -> {} {}\n", chart, series, Number(x), Number(y), unit);
  std::fflush(stdout);
  AppendLine(fmt::format(R"({{"chart":"{}","series":"{}","x":{},"y":{},"unit":"{}"}})", chart,
                         series, Number(x), Number(y), unit));
}

}  // namespace tidemark
