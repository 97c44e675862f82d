"""Reads a record as the jobs do, for the scripts that compare what came of it."""
import datetime
import json
import math

UTC = datetime.timezone.utc


def _constant(name):
    raise ValueError(f"{name} is not JSON")


def _field(value, kind):
    if value is None:
        return None
    if kind is str:
        # Other values are taken as their JSON text.
        return value if isinstance(value, str) else json.dumps(
            value, ensure_ascii=False, separators=(",", ":"))
    if kind is datetime.datetime:
        if not isinstance(value, str):
            raise ValueError("a time is a string")
        time = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isinf(float(value)):
            raise ValueError("not a number")
        return float(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -2**63 <= value < 2**63:
        raise ValueError("not a whole number of 64 bits")
    return value


def read_record(data, **fields):
    """The named fields (name=int, float, str or datetime) of a message; null or missing ones are None, others
    are left out. None for a message that is no JSON object or has a field of another type: a job puts
    it aside as a bad record."""
    try:
        record = json.loads((data or b"").decode(), parse_constant=_constant)
        if not isinstance(record, dict):
            return None
        return {name: _field(record.get(name), kind) for name, kind in fields.items()}
    except (ValueError, OverflowError, RecursionError):
        return None
