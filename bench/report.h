#ifndef TIDEMARK_BENCH_REPORT_H_
#define TIDEMARK_BENCH_REPORT_H_

#include <string>
#include <string_view>

namespace tidemark {

/// One figure of a bar, printed, and appended as a line to the file that TIDEMARK_BENCH_REPORT
/// names (nowhere if it is not set):
///   {"bar":1,"what":"...","ours":2.1e6,"theirs":2.4e6,"ratio":0.875,"unit":"rows/s"}
/// `ratio` is ours / theirs (or, where given, the median over pairs). A figure that is compared
/// with nothing has null for theirs and ratio.
struct Figure {
  int bar = 0;
  std::string what;
  double ours = 0;
  double theirs = 0;  ///< 0: nothing to compare with
  double ratio = 0;   ///< 0: ours / theirs
  std::string unit;
};
void ReportFigure(const Figure& figure);

/// One point of a chart: {"chart":"keys","series":"...","x":..,"y":..,"unit":"rows/s"}
void ReportPoint(std::string_view chart, std::string_view series, double x, double y,
                 std::string_view unit);

}  // namespace tidemark

#endif  // TIDEMARK_BENCH_REPORT_H_
