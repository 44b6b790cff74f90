"""Runs SQL in a local Spark, which needs no network beyond the loopback interface."""

import os

os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
os.environ["TZ"] = "UTC"

from pyspark.sql import SparkSession

import answers

dataset, views, queries = answers.read()
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.shuffle.partitions", "2")
    .getOrCreate()
)
for view in views:
    spark.sql(view)
answers.write({question: spark.sql(sql).collect() for question, sql in queries.items()})
spark.stop()
