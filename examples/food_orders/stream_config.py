"""What the scripts of this example know of orders_stream.yml: where each part of the pipeline is."""
import os
import pathlib
import subprocess
import sys
import urllib.parse

import yaml

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))
from config_values import expand  # noqa: E402

DEFAULT_CONFIG = "examples/food_orders/configs/orders_stream.yml"


class StreamConfig:
    def __init__(self, path):
        config = yaml.safe_load(pathlib.Path(path).read_text())
        producer, lake = config["profiles"]["producer"], config["profiles"]["lake"]
        self.brokers = expand(config["brokers"])
        self.topic = expand(lake["topic"])
        self.database = urllib.parse.urlsplit(expand(producer["source"]))
        self.table = self.database.path.split("/")[2]
        self.password = expand(producer["source_password"])
        self.state_file = pathlib.Path(expand(producer["offset_file"]))
        self.lake = pathlib.Path(expand(lake["sink"]).removeprefix("parquet:").split("?")[0])
        self.min_amount = float(expand(lake["params"]["min_amount"]))
        self.group = expand(lake["kafka"]["group.id"])
        policy = expand(lake["bad_records"])
        self.rejected = pathlib.Path(policy.removeprefix("dead-letter:")) if ":" in policy else None
        self.checkpoints = {name: pathlib.Path(expand(profile["checkpoint"]))
                            for name, profile in (("producer", producer), ("lake", lake))}

    def psql(self, sql):
        """What PostgreSQL's own client prints: a line a row, columns separated by a tab."""
        where = self.database
        command = ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only",
                   "--field-separator=\t", "--set=ON_ERROR_STOP=1", f"--host={where.hostname}",
                   f"--port={where.port or 5432}", f"--username={where.username}",
                   f"--dbname={where.path.split('/')[1]}"]
        ended = subprocess.run(command, input=sql, text=True, capture_output=True,
                               env=os.environ | {"PGPASSWORD": self.password, "PGTZ": "UTC",
                                                 "PGOPTIONS": "-c client_min_messages=warning"})
        if ended.returncode != 0:
            raise RuntimeError(ended.stderr.strip().replace("\n", " "))
        return [line.split("\t") for line in ended.stdout.splitlines()]
