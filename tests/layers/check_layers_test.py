"""Gives scripts/check-layers small trees, right and wrong ones, and reads its verdict.

Usage: check_layers_test.py PATH_OF_CHECK_LAYERS
"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = sys.argv.pop(1)
RIGHT = {
    "engine/pipeline.h": '#include <string>\n#include "absl/status/status.h"\n'
                         '#include "tidemark/operators/rows/schema.h"\n',
    "engine/job.cc": '#include <yaml-cpp/yaml.h>\n#include "tidemark/state/checkpoint_store.h"\n',
    "operators/rows/schema.h": "#include <vector>\n",
    "operators/aggregates/window.cc": '#include "tidemark/state/window_table.h"\n'
                                      '#include "tidemark/operators/expressions/bound.h"\n',
    "operators/clients/kafka_client.h": "#include <librdkafka/rdkafka.h>\n",
    "operators/sinks/mysql_sink.cc": "#include <mysql/mysql.h>\n",
    "operators/formats/json_format.cc": "#include <simdjson.h>\n",
    "state/window_table.cc": "#include <rocksdb/db.h>\n",
    "examples/job/job.cc": '#include "tidemark/engine/pipeline.h"\n#include "job.h"\n',
    "tests/engine/job_test.cc": '#include <gtest/gtest.h>\n#include <rocksdb/db.h>\n'
                                '#include "examples/job/job.h"\n'
                                '#include "engine/rows_of_tests.h"\n',
    "tests/engine/rows_of_tests.h": "#include <vector>\n",
}


class CheckLayersTest(unittest.TestCase):
    def check(self, changes):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**RIGHT, **changes}.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            result = subprocess.run([sys.executable, CHECK, folder], capture_output=True, text=True,
                                    check=False)
            return result.returncode, result.stdout + result.stderr

    def assert_refused(self, name, text, *words):
        code, output = self.check({name: text})
        self.assertEqual(code, 1, output)
        line = len(text.splitlines())
        for word in (f"{name}:{line}:",) + words:
            self.assertIn(word, output)

    def test_a_right_tree_passes(self):
        self.assertEqual(self.check({})[0], 0, self.check({})[1])

    def test_wrong_arrows(self):
        self.assert_refused("state/a.cc", '#include "tidemark/operators/rows/schema.h"', "bytes in")
        self.assert_refused("operators/rows/a.h", '#include "tidemark/engine/job.h"', "hand in")
        self.assert_refused("operators/rows/a.h", '\n#include "tidemark/operators/formats/json.h"',
                            "operators/rows must not use operators/formats")
        self.assert_refused("operators/sources/a.cc", '#include "tidemark/operators/sinks/sink.h"',
                            "let the engine connect")
        self.assert_refused("operators/sources/a.cc", '#include "tidemark/state/window_table.h"',
                            "only operators/aggregates")
        self.assert_refused("engine/a.cc", '#include "examples/job/job.h"', "must not use examples")
        self.assert_refused("examples/a/a.cc", '#include "tests/servers/process.h"', "examples")
        self.assert_refused("operators/new/a.cc", '#include "tidemark/operators/rows/schema.h"',
                            "is new")

    def test_other_spellings(self):
        self.assert_refused("engine/a.cc", '#include "engine/job.h"', '"tidemark/engine/job.h"')
        self.assert_refused("tests/a.cc", '#include "operators/rows/schema.h"', "tidemark/")
        self.assert_refused("engine/a.cc", '#include "job.h"', '"tidemark/engine/job.h"')
        self.assert_refused("engine/a.cc", '#include "../state/b.h"', "whole path")
        self.assert_refused("engine/a.cc", '  #  include   "job.h"  // why', "whole path")

    def test_fences(self):
        self.assert_refused("engine/a.cc", "#include <rocksdb/db.h>", "RocksDB", "state/")
        self.assert_refused("operators/sources/a.cc", "#include <librdkafka/rdkafka.h>", "kafka_*")
        self.assert_refused("operators/formats/kafka_a.cc", "#include <librdkafka/rdkafka.h>",
                            "librdkafka")
        self.assert_refused("operators/formats/avro.cc", '#include "simdjson.h"', "json_*")
        self.assert_refused("operators/sinks/a.cc", "#include <mysql.h>", "mysql_*")
        self.assert_refused("operators/sources/a.cc", "#include <libpq-fe.h>", "postgres_*")
        self.assert_refused("operators/sinks/a.cc", "#include <arrow/api.h>", "parquet_*")
        self.assert_refused("engine/test_kit.cc", "#include <gtest/gtest.h>", "under tests/")
        self.assert_refused("examples/a/a.cc", "#include <rocksdb/db.h>", "RocksDB")

    def test_public_headers_show_no_other_library(self):
        self.assert_refused("engine/pipeline.h", '#include "absl/container/flat_hash_map.h"', "public")
        self.assert_refused("operators/rows/schema.h", "#include <fmt/format.h>",
                            "engine/pipeline.h -> operators/rows/schema.h")
        code, output = self.check({
            "examples/job/job.cc": '#include "tidemark/operators/clients/kafka_client.h"\n'})
        self.assertEqual(code, 1, output)
        self.assertIn("operators/clients/kafka_client.h:1:", output)

    def test_an_empty_folder_is_no_success(self):
        with tempfile.TemporaryDirectory() as folder:
            result = subprocess.run([sys.executable, CHECK, folder], capture_output=True, check=False)
            self.assertEqual(result.returncode, 1)


if __name__ == "__main__":
    unittest.main()
