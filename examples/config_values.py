"""Values of a job's config file, as the job reads them."""
import os
import pathlib


def expand(value):
    """`${env:NAME}`, `${env:NAME:-DEFAULT}` and `${file:PATH}`, also in one another."""
    text, rest = _until(str(value), "")
    return text + rest


def _until(rest, end):
    text = ""
    while rest and not (end and rest.startswith(end)):
        if rest.startswith("${env:"):
            found, rest = _variable(rest.removeprefix("${env:"))
        elif rest.startswith("${file:"):
            path, rest = _until(rest.removeprefix("${file:"), "}")
            found, rest = pathlib.Path(path).read_text().splitlines()[0], rest[1:]
        else:
            found, rest = rest[0], rest[1:]
        text += found
    return text, rest


def _variable(rest):
    end = min(at for at in (rest.find("}"), rest.find(":-")) if at >= 0)
    name, rest = rest[:end], rest[end:]
    if rest.startswith("}"):
        return os.environ[name], rest[1:]
    default, rest = _until(rest[2:], "}")
    return os.environ.get(name) or default, rest[1:]
