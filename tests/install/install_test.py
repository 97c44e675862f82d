"""Installs the built library into an empty prefix, then configures, builds and runs consumer/, a
program of a user's own that knows nothing but the prefix.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser(description=__doc__)
for option in ("cmake", "build", "compiler"):
    parser.add_argument(f"--{option}", required=True)
for option in ("launcher", "sanitize"):
    parser.add_argument(f"--{option}", default="")
args = parser.parse_args()
consumer = pathlib.Path(__file__).resolve().parent / "consumer"
source = pathlib.Path(__file__).resolve().parents[2]


def run(*command):
    print("+", *command, flush=True)
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            check=False)
    print(result.stdout, end="", flush=True)
    if result.returncode != 0:
        sys.exit(f"install_test: {command[0]} ended with exit code {result.returncode}")
    return result.stdout


with tempfile.TemporaryDirectory(prefix="tidemark-install-") as folder:
    prefix, build = os.path.join(folder, "prefix"), os.path.join(folder, "build")
    run(args.cmake, "--install", args.build, "--prefix", prefix)
    # An installed package must not lean on the tree that it came from.
    for file in pathlib.Path(prefix).rglob("*.cmake"):
        for tree in (args.build, str(source)):
            if tree in file.read_text():
                sys.exit(f"install_test: {file.relative_to(prefix)} names {tree}")
    flags = f"-fsanitize={args.sanitize}" if args.sanitize else ""
    run(args.cmake, "-G", "Ninja", "-S", str(consumer), "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DCMAKE_CXX_COMPILER={args.compiler}", f"-DCMAKE_CXX_COMPILER_LAUNCHER={args.launcher}",
        f"-DCMAKE_CXX_FLAGS={flags}", "-DCMAKE_BUILD_TYPE=Release")
    run(args.cmake, "--build", build)
    output = run(os.path.join(build, "consumer"))
    expected = (consumer / "expected.txt").read_text()
    if output != expected:
        sys.exit(f"install_test: the consumer printed {output!r}, expected {expected!r}")
    if list(pathlib.Path(prefix).rglob("libtidemark_parquet*")):
        run(os.path.join(build, "consumer"), os.path.join(folder, "lake"))
print("install_test: passed")
