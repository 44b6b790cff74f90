"""What the readers share: a question comes as JSON on standard input, and its answers go as JSON to standard output."""

import datetime
import decimal
import json
import sys


def read():
    """The folder of the data set, statements that make views of it, and the SQL of each question."""
    asked = json.load(sys.stdin)
    return asked["dataset"], asked["views"], asked["queries"]


def plain(value):
    """A value of any reader as one that JSON has."""
    if isinstance(value, datetime.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
        return aware.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value


def write(answers):
    """Prints rows, each a sequence of values, by question."""
    rows = {question: [[plain(value) for value in row] for row in found] for question, found in answers.items()}
    json.dump(rows, sys.stdout)
