#!/usr/bin/env python3
"""Turns what the bench programs reported into the table of bars, RESULTS.md and charts.

  report.py runs [--quick] [--without KIND,...] [--rounds N]   # the command lines, for scripts/bench
  report.py table REPORT [--failed FILE] [--write FACTS [--folder DIR]]   # exit code 1 unless every bar passes

The bars and their limits, and which programs run in which order, are in bars.json. REPORT has the lines
of JSON that bench/report.h describes. With --write the table, and FACTS (lines `name: value`), go to
RESULTS.md, charts/*.svg are drawn, and the README shows them. Only the standard library is used.
"""
import argparse
import collections
import json
import math
import pathlib
import re
import shlex
import sys

HERE = pathlib.Path(__file__).resolve().parent
Row = collections.namedtuple("Row", "bar what ours theirs ratio unit limit verdict")


def number(value):
    if value is None:
        return ""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:.2f} M"
    if size >= 1e4:
        return f"{value / 1e3:.0f} k"
    return f"{value:.0f}" if size >= 100 else f"{value:.3g}"


def limit_of(bar):
    return f">= {number(bar['at_least'])}" if "at_least" in bar else f"<= {number(bar['at_most'])}"


def passes(bar, figure):
    """A figure that is not a number never passes."""
    value = figure.get(bar.get("value", "ratio"))
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return False
    return value >= bar["at_least"] if "at_least" in bar else value <= bar["at_most"]


def read_report(path):
    """The figures and points of a report; a line that is cut off is no figure."""
    figures, points = [], []
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            if "chart" in entry:
                points.append((entry["chart"], entry["series"], float(entry["x"]), float(entry["y"]), entry["unit"]))
            else:
                figures.append({name: entry[name] for name in ("bar", "what", "ours", "theirs", "ratio", "unit")})
        except (ValueError, KeyError, TypeError):
            print(f"report.py: not a line of a report: {line[:200]}", file=sys.stderr)
    return figures, points


def table_rows(bars, figures):
    """Each bar with its figure, in order; then the figures that no bar asks for."""
    rows, used = [], set()
    for bar in bars:
        found = [i for i, figure in enumerate(figures) if figure["bar"] == bar["bar"] and re.search(bar["match"], figure["what"])]
        if not found:
            rows.append(Row(bar["bar"], bar["what"], None, None, None, "", limit_of(bar), "missing"))
        # Several figures of one bar: each must pass.
        for i in found:
            figure = figures[i]
            used.add(i)
            rows.append(Row(bar["bar"], figure["what"], figure["ours"], figure["theirs"], figure["ratio"],
                            figure["unit"], limit_of(bar), "pass" if passes(bar, figure) else "FAIL"))
    for i, figure in enumerate(figures):
        if i not in used:
            rows.append(Row(figure["bar"], figure["what"], figure["ours"], figure["theirs"], figure["ratio"],
                            figure["unit"], "", ""))
    return sorted(rows, key=lambda row: row.bar)


def cells(row):
    # A figure's unit stands once, with ours.
    ours = f"{number(row.ours)} {row.unit}".strip() if row.ours is not None else ""
    return [str(row.bar), row.what, ours, number(row.theirs), number(row.ratio), row.limit, row.verdict]


HEAD = ["#", "what", "ours", "theirs", "ratio", "bar", "pass"]


def print_table(rows):
    lines = [HEAD] + [cells(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    for line in lines:
        text = [cell.ljust(width) if i in (1, 6) else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))]
        print("  ".join(text).rstrip())


# ---- Charts

INK, GREY, GRID, PAPER = "#24292f", "#57606a", "#d0d7de", "#ffffff"
COLOURS = ["#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#9a6700"]


def escape(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Svg:
    def __init__(self, width, height, title):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'font-family="sans-serif" font-size="13" role="img" aria-label="{escape(title)}">',
            f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        ]
        self.text(16, 26, title, size=16, weight="bold")

    def text(self, x, y, text, anchor="start", colour=INK, size=13, weight="normal"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}" font-weight="{weight}">{escape(text)}</text>')

    def line(self, x1, y1, x2, y2, colour=GRID, width=1):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>')

    def add(self, part):
        self.parts.append(part)

    def write(self, path):
        path.write_text("\n".join(self.parts + ["</svg>", ""]), encoding="utf-8")


def draw_bars(path, title, unit, bars):
    """Horizontal bars (name, value), the engine's in the first colour."""
    label, width, step = 220, 760, 34
    svg = Svg(width, 60 + step * len(bars), f"{title} ({unit})")
    most = max(value for _, value in bars)
    for i, (name, value) in enumerate(bars):
        y = 46 + i * step
        length = max(1.0, (width - label - 110) * value / most)
        svg.text(label - 10, y + 17, name, anchor="end")
        svg.add(f'<rect x="{label}" y="{y}" width="{length:.1f}" height="24" fill="{COLOURS[0] if i == 0 else "#8c959f"}"/>')
        svg.text(label + length + 8, y + 17, number(value))
    svg.write(path)


def nice_top(value):
    scale = 10 ** math.floor(math.log10(value))
    return next(step * scale for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * scale >= value)


def draw_lines(path, title, x_name, unit, series):
    """A line a series over x, logarithmic when x spans more than a factor of ten; y starts at 0."""
    width, height, left, right, top, bottom = 760, 400, 76, 24, 64, 48
    svg = Svg(width, height, f"{title} ({unit})")
    xs = sorted({x for points in series.values() for x, _ in points})
    most = nice_top(max(y for points in series.values() for _, y in points))
    log = xs[0] > 0 and xs[-1] / xs[0] > 10

    def across(x):
        if len(xs) == 1:
            return (left + width - right) / 2
        low, high, at = (math.log(v) if log else v for v in (xs[0], xs[-1], x))
        return left + (width - left - right) * (at - low) / (high - low)

    def up(y):
        return height - bottom - (height - top - bottom) * y / most

    for i in range(6):
        svg.line(left, up(most * i / 5), width - right, up(most * i / 5))
        svg.text(left - 8, up(most * i / 5) + 4, number(most * i / 5), anchor="end", colour=GREY)
    for x in xs:
        svg.line(across(x), height - bottom, across(x), height - bottom + 5, GREY)
        svg.text(across(x), height - bottom + 19, number(x).replace(".00 ", " "), anchor="middle", colour=GREY)
    svg.text((left + width - right) / 2, height - 8, x_name, anchor="middle", colour=GREY)
    at = left
    for i, (name, points) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        path_points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in sorted(points))
        svg.add(f'<polyline points="{path_points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        for x, y in points:
            svg.add(f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="4" fill="{colour}"/>')
        svg.add(f'<rect x="{at}" y="40" width="12" height="12" fill="{colour}"/>')
        svg.text(at + 18, 51, name)
        at += 40 + 7.5 * len(name)
    svg.write(path)


def file_name(chart):
    return re.sub(r"[^a-z0-9]+", "-", chart.lower()).strip("-") + ".svg"


def draw_charts(folder, figures, points):
    """Returns [(title, file name)], in the order to show them in."""
    folder.mkdir(exist_ok=True)
    charts = []
    for bar, title, first in ((3, "Rows a second beside other engines", "Tidemark"), (4, "Peak memory beside other engines", "Tidemark")):
        compared = [figure for figure in figures if figure["bar"] == bar and figure["theirs"]]
        if not compared:
            continue
        bars = [(first, compared[0]["ours"])]
        bars += [(re.sub(r"^engine to |^peak memory of | to the engine's$", "", figure["what"]), figure["theirs"]) for figure in compared]
        draw_bars(folder / file_name(title), title, compared[0]["unit"], bars)
        charts.append((title, file_name(title)))
    by_chart = collections.OrderedDict()
    for chart, name, x, y, unit in points:
        by_chart.setdefault((chart, unit), collections.OrderedDict()).setdefault(name, {})[x] = y
    for (chart, unit), series in by_chart.items():
        title = f"Over {chart}"
        draw_lines(folder / file_name(title), title, chart, unit, {name: sorted(ys.items()) for name, ys in series.items()})
        charts.append((title, file_name(title)))
    return charts


BY_HAND = "<!-- From here on written by hand; scripts/bench keeps it. -->"


def write_results(path, rows, charts, facts, failed):
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    by_hand = old[old.index(BY_HAND):] if BY_HAND in old else BY_HAND
    lines = ["# Results", "", "Written by `scripts/bench`: all of it from one run. Ratios are medians of interleaved rounds; every answer was",
             "compared with a plain fold, and a wrong one has no figure here. *missing*: not measured in this run.", ""]
    lines += ["| | |", "|---|---|"] + [f"| {name} | {value} |" for name, value in facts] + [""]
    lines += ["| " + " | ".join(HEAD) + " |", "|---|---|--:|--:|--:|--:|---|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows] + [""]
    if failed:
        lines += ["Failed in this run:", ""] + [f"- {line}" for line in failed] + [""]
    lines += [f"![{title}](charts/{name})" for title, name in charts] + ["", by_hand]
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def write_readme(path, charts):
    """The charts between the README's two marks, if it has them."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    between = re.compile(r"(<!-- charts: [^\n]*-->\n).*?(<!-- end of charts -->)", re.DOTALL)
    if not between.search(text):
        print(f"report.py: {path} has no marks to put the charts between", file=sys.stderr)
        return
    lines = ["All of the last run: [bench/RESULTS.md](bench/RESULTS.md).", ""] + [f"![{title}](bench/charts/{name})" for title, name in charts]
    path.write_text(between.sub(lambda marks: marks[1] + "\n".join(lines) + "\n" + marks[2], text), encoding="utf-8")


# ---- The two commands

def runs(options, table):
    """Prints a line a run: its name, a tab, the command."""
    without = set(filter(None, options.without.split(",")))
    kinds = {peer["kind"] for peer in table["peers"].values()}
    if without - kinds:
        sys.exit(f"report.py: --without does not know {', '.join(sorted(without - kinds))}; it takes {', '.join(sorted(kinds))}")
    for run in table["runs"]:
        if options.quick and run.get("chart"):
            continue
        command = [f"build/release/bench/{run['program']}"] + run.get("arguments", [])
        if options.quick:
            command.append("--quick")
        elif options.rounds and run.get("rounds", True) and not run.get("chart"):
            command += ["--rounds", str(options.rounds)]
        for peer in run.get("peers", []):
            about = table["peers"][peer]
            if about["kind"] in without:
                continue
            start = f"bench/peers/peer {peer}"
            command += [about["option"], f"{about['name']}={start}" if about["option"] == "--peer" else start]
        print(run["name"] + "\t" + " ".join(shlex.quote(word) for word in command))


def table_command(options, table):
    figures, points = read_report(options.report)
    rows = table_rows(table["bars"], figures)
    failed = pathlib.Path(options.failed).read_text(encoding="utf-8").splitlines() if options.failed else []
    if options.write:
        facts = [line.split(": ", 1) for line in pathlib.Path(options.write).read_text(encoding="utf-8").splitlines() if ": " in line]
        folder = pathlib.Path(options.folder)
        charts = draw_charts(folder / "charts", figures, points)
        write_results(folder / "RESULTS.md", rows, charts, facts, failed)
        write_readme(folder.parent / "README.md", charts)
    print_table(rows)
    counts = collections.Counter(row.verdict for row in rows)
    print(f"\n{counts['pass']} pass, {counts['FAIL']} fail, {counts['missing']} missing")
    for line in failed:
        print(f"failed: {line}")
    sys.exit(0 if counts["FAIL"] == counts["missing"] == 0 and not failed else 1)


def main():
    parser = argparse.ArgumentParser(description="The table of bars, RESULTS.md and charts of scripts/bench")
    commands = parser.add_subparsers(required=True)
    sub = commands.add_parser("runs")
    sub.add_argument("--quick", action="store_true")
    sub.add_argument("--without", default="")
    sub.add_argument("--rounds", type=int)
    sub.set_defaults(run=runs)
    sub = commands.add_parser("table")
    sub.add_argument("report")
    sub.add_argument("--failed")
    sub.add_argument("--write", metavar="FACTS")
    sub.add_argument("--folder", default=str(HERE), help="where RESULTS.md and charts/ are written")
    sub.set_defaults(run=table_command)
    options = parser.parse_args()
    options.run(options, json.loads((HERE / "bars.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
