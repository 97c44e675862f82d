#!/usr/bin/env python3
"""bench/report.py: what passes, what is missing, and that bars.json is in order."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import report

HERE = pathlib.Path(__file__).resolve().parent
BARS = json.loads((HERE / "bars.json").read_text(encoding="utf-8"))


def figure(bar, what, ours, theirs=None, ratio=None, unit="rows/s"):
    return {"bar": bar, "what": what, "ours": ours, "theirs": theirs, "ratio": ratio, "unit": unit}


class Table(unittest.TestCase):
    def verdicts(self, bars, figures):
        return [(row.what, row.verdict) for row in report.table_rows(bars, figures)]

    def test_a_bar_passes_fails_or_is_missing(self):
        bars = [{"bar": 1, "what": "a", "match": "^a$", "at_least": 2}, {"bar": 2, "what": "b", "match": "^b$", "value": "ours", "at_most": 5},
                {"bar": 3, "what": "c", "match": "^c$", "at_least": 1}]
        self.assertEqual(self.verdicts(bars, [figure(1, "a", 4, 2, 2.0), figure(2, "b", 5.1)]),
                         [("a", "pass"), ("b", "FAIL"), ("c", "missing")])
        self.assertEqual(self.verdicts(bars, [figure(1, "a", 4, 2, 1.99), figure(2, "b", 5)]),
                         [("a", "FAIL"), ("b", "pass"), ("c", "missing")])

    def test_what_is_no_number_does_not_pass(self):
        for value in (None, float("nan"), float("inf"), "9"):
            for limit in ({"at_least": 1}, {"at_most": 1}):
                self.assertFalse(report.passes(limit, figure(1, "a", 1, 1, value)), (value, limit))

    def test_every_figure_of_a_bar_must_pass_and_one_of_no_bar_is_shown(self):
        bars = [{"bar": 12, "what": "peak", "match": "^peak", "at_most": 1.2}]
        figures = [figure(12, "peak of a", 1, 1, 1.1), figure(12, "peak of b", 1, 1, 1.3), figure(12, "other", 1)]
        self.assertEqual(self.verdicts(bars, figures), [("peak of a", "pass"), ("peak of b", "FAIL"), ("other", "")])

    def test_a_figure_of_another_bar_is_not_taken(self):
        bars = [{"bar": 7, "what": "commit", "match": "commit", "at_most": 1.5}]
        self.assertEqual(self.verdicts(bars, [figure(8, "commit", 1, 1, 1.0)]), [("commit", "missing"), ("commit", "")])


class BarsFile(unittest.TestCase):
    def test_each_bar_has_one_limit_and_its_own_words_match(self):
        for bar in BARS["bars"]:
            self.assertEqual(len({"at_least", "at_most"} & set(bar)), 1, bar)
            self.assertIn(bar.get("value", "ratio"), ("ratio", "ours"))
            re.compile(bar["match"])
        self.assertEqual(sorted({bar["bar"] for bar in BARS["bars"]}), list(range(1, 18)))

    def test_each_program_and_peer_is_there(self):
        for run in BARS["runs"]:
            self.assertTrue((HERE / f"{run['program']}.cc").is_file(), run)
            for peer in run.get("peers", []):
                self.assertIn(peer, BARS["peers"])


class Program(unittest.TestCase):
    def run_report(self, *arguments):
        return subprocess.run([sys.executable, HERE / "report.py", *arguments], capture_output=True, text=True, check=False)

    def test_results_and_charts(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name) / "bench"
            folder.mkdir()
            readme = folder.parent / "README.md"
            readme.write_text("above\n<!-- charts: here -->\nold\n<!-- end of charts -->\nbelow\n", encoding="utf-8")
            lines = [json.dumps(figure(3, "engine to Flink", 2e6, 1e5, 20.0)), "{cut off", '{"chart":"keys","series":"a","x":5,"y":1,"unit":"rows/s"}']
            lines += [json.dumps({"chart": "threads", "series": s, "x": x, "y": 1e6 * x, "unit": "rows/s"}) for s in ("<a>", "b") for x in (1, 2)]
            (folder / "report").write_text("\n".join(lines), encoding="utf-8")
            (folder / "facts").write_text("date: 2026\nmachine: two cores\n", encoding="utf-8")
            (folder / "failed").write_text("some_bench ended\n", encoding="utf-8")
            (folder / "RESULTS.md").write_text("an old table\n\n<!-- From here on written by hand; scripts/bench keeps it. -->\n\n## Why\n", encoding="utf-8")
            ran = self.run_report("table", folder / "report", "--failed", folder / "failed", "--write", folder / "facts", "--folder", folder)
            self.assertEqual(ran.returncode, 1, ran.stderr)
            self.assertIn("1 pass, 0 fail", ran.stdout)
            self.assertIn("failed: some_bench ended", ran.stdout)
            results = (folder / "RESULTS.md").read_text(encoding="utf-8")
            self.assertIn("| 3 | engine to Flink | 2.00 M rows/s | 100 k | 20 | >= 16 | pass |", results)
            self.assertIn("| machine | two cores |", results)
            self.assertNotIn("an old table", results)
            self.assertTrue(results.endswith("scripts/bench keeps it. -->\n\n## Why\n"), results)
            self.assertRegex(readme.read_text(encoding="utf-8"),
                             r"^above\n<!-- charts: here -->\n[^<]*!\[Over keys\]\(bench/charts/over-keys.svg\)\n[^<]*<!-- end of charts -->\nbelow\n$")
            charts = sorted(path.name for path in (folder / "charts").iterdir())
            self.assertEqual(charts, ["over-keys.svg", "over-threads.svg", "rows-a-second-beside-other-engines.svg"])
            for chart in charts:
                self.assertIn(f"charts/{chart}", results)
                xml.etree.ElementTree.parse(folder / "charts" / chart)

    def test_the_command_lines(self):
        quick = self.run_report("runs", "--quick", "--without", "spark,flink,jet").stdout
        self.assertIn("build/release/bench/throughput --quick\n", quick)
        self.assertNotIn("--charts", quick)
        self.assertIn("'Flink=bench/peers/peer flink'", self.run_report("runs", "--without", "spark").stdout)
        self.assertEqual(self.run_report("runs", "--without", "storm").returncode, 1)


if __name__ == "__main__":
    unittest.main()
