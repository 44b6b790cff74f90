"""Runs SQL in DuckDB's Python package, which is another release than the one in gospy."""

import duckdb

import answers

dataset, views, queries = answers.read()
database = duckdb.connect()
database.execute("SET TimeZone = 'UTC'")
for view in views:
    database.execute(view)
answers.write({question: database.execute(sql).fetchall() for question, sql in queries.items()})
