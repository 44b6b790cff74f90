"""Runs SQL in ClickHouse, in this process."""

import json

import chdb

import answers

dataset, views, queries = answers.read()
found = {}
for question, sql in queries.items():
    lines = str(chdb.query(sql, "JSONCompactEachRow")).splitlines()
    found[question] = [json.loads(line) for line in lines]
answers.write(found)
