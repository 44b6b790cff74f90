"""Answers the questions without SQL: pyarrow reads the rows, and Python counts them."""

from collections import defaultdict

import pyarrow.dataset

import answers

dataset, views, queries = answers.read()
rows = pyarrow.dataset.dataset(dataset, partitioning="hive").to_table().to_pylist()
by_id = {(row["snapshot"], row["goid"]): row for row in rows}


def nested(column):
    """Pairs of a goroutine and one thing of a list that it has."""
    return [(row, item) for row in rows for item in row[column] or []]


def grouped(items, key):
    """Items by their keys."""
    groups = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def ordered(found, *by, limit=None):
    """Rows sorted by columns, which count from 1; of negative ones, the largest comes first. None comes last."""
    for column in reversed(by):
        at = abs(column) - 1
        known = sorted((row for row in found if row[at] is not None), key=lambda row: row[at], reverse=column < 0)
        found = known + [row for row in found if row[at] is None]
    return found[:limit]


def captures(group):
    return len({row["snapshot"] for row in group})


def goroutines(pairs):
    return len({(row["snapshot"], row["goid"]) for row, _ in pairs})


def user_rows():
    return [row for row in rows if not row["system"]]


def blocks_most():
    waiting = grouped((row for row in user_rows() if row["status"] == "waiting"), lambda row: (row["wait_reason"], row["user_func"]))
    return ordered([[*key, len(group)] for key, group in waiting.items()], -3, 1, 2, limit=5)


def more_in_one_build():
    groups = grouped(user_rows(), lambda row: (row["entry_func"], row["build_id"]))
    return ordered([[*key, len(group) / captures(group)] for key, group in groups.items()], 1, -3, 2, limit=5)


def labels_that_wait_longest():
    found = []
    for key, pairs in grouped(nested("labels"), lambda pair: pair[1]).items():
        waits = [row["wait_ns"] for row, _ in pairs if row["wait_ns"] is not None]
        found.append([*key, len(pairs), max(waits) / 1e9 if waits else None])
    return ordered(found, -4, 1, 2, limit=5)


def outlived():
    orphans = [row for row in user_rows() if row["parent_goid"] is not None and (row["snapshot"], row["parent_goid"]) not in by_id]
    orphans.sort(key=lambda row: (row["snapshot"], row["goid"]))
    return [[row["goid"], row["parent_goid"], row["entry_func"]] for row in orphans[:5]]


def on_most_stacks():
    groups = grouped(nested("frames"), lambda pair: pair[1]["func"])
    return ordered([[func, goroutines(pairs)] for func, pairs in groups.items()], -2, 1, limit=5)


def deepest():
    deep = sorted(rows, key=lambda row: (-len(row["frames"]), row["snapshot"], row["goid"]))
    return [[row["goid"], len(row["frames"]), row["entry_func"]] for row in deep[:5]]


def waited_on():
    groups = grouped((pair for pair in nested("waits_on") if pair[1]["addr"] is not None), lambda pair: (pair[1]["kind"], pair[1]["op"], pair[1]["addr"]))
    return ordered([[*key, len(pairs)] for key, pairs in groups.items()], -4, 3, 2, limit=5)


def makers():
    groups = grouped(user_rows(), lambda row: (row["creator_func"], row["creator_file"], row["creator_line"]))
    return ordered([[*key, len(group)] for key, group in groups.items()], -4, 1, 2, 3, limit=5)


def builds_by_host():
    found = []
    for key, group in grouped(rows, lambda row: (row["service"], row["host"], row["build_id"], row["go_version"])).items():
        times = [row["captured_at"] for row in group]
        found.append([*key, captures(group), min(times), max(times)])
    return ordered(found, 1, 2, 6)


def how_many():
    groups = grouped(rows, lambda row: row["service"])
    return ordered([[service, len({row["host"] for row in group}), captures(group), len(group)] for service, group in groups.items()], 1)


def more_that_wait():
    groups = grouped((row for row in user_rows() if row["status"] == "waiting"), lambda row: (row["service"], row["app_func"], row["build_id"]))
    return ordered([[*key, len(group) / captures(group)] for key, group in groups.items()], 1, 2, -4, 3, limit=50)


def blocked_hosts():
    found = []
    for key, group in grouped(rows, lambda row: (row["service"], row["host"])).items():
        blocked = sum((row["wait_reason"] or "").startswith("sync.") for row in group)
        found.append([*key, blocked / captures(group)])
    return ordered(found, -3, 1, 2, limit=20)


def works_on():
    groups = grouped(nested("work"), lambda pair: (pair[1]["kind"], pair[1]["grouped"]))
    return ordered([[*key, len(pairs), len({row["host"] for row, _ in pairs})] for key, pairs in groups.items()], -3, 1, 2, limit=20)


def labels_by_day():
    groups = grouped(nested("labels"), lambda pair: (pair[0]["date"], pair[0]["service"], *pair[1]))
    return ordered([[*key, len(pairs)] for key, pairs in groups.items()], 1, -5, 2, 3, 4, limit=20)


def functions_of_services():
    groups = grouped(nested("frames"), lambda pair: (pair[0]["service"], pair[1]["func"]))
    return ordered([[*key, goroutines(pairs)] for key, pairs in groups.items()], -3, 1, 2, limit=50)


def kinds_of_waits():
    groups = grouped(nested("waits_on"), lambda pair: (pair[0]["service"], pair[1]["kind"], pair[1]["op"]))
    return ordered([[*key, len(pairs), goroutines(pairs)] for key, pairs in groups.items()], -4, 1, 2, 3, limit=20)


def most_at():
    groups = grouped(rows, lambda row: (row["service"], row["captured_at"]))
    return ordered([[*key, len(group)] for key, group in groups.items()], -3, 1, 2, limit=5)


ANSWERS = {
    "What blocks most?": blocks_most,
    "Which functions have more goroutines in one build than in another?": more_in_one_build,
    "Which labels wait longest?": labels_that_wait_longest,
    "Which goroutines have outlived the one that made them?": outlived,
    "Which functions are on most stacks?": on_most_stacks,
    "Which stacks are deepest?": deepest,
    "What do most goroutines wait on?": waited_on,
    "Who makes goroutines, and where?": makers,
    "On which hosts does which build run?": builds_by_host,
    "How many captures and goroutines are there of each service?": how_many,
    "Where does one build have more goroutines that wait than another?": more_that_wait,
    "On which hosts do most goroutines wait for locks?": blocked_hosts,
    "What does the fleet work on?": works_on,
    "Which requests, tenants or whatever the labels name have most goroutines, day by day?": labels_by_day,
    "On how many stacks is each function of a service?": functions_of_services,
    "What do goroutines wait on?": kinds_of_waits,
    "When were there most goroutines of a service?": most_at,
}

answers.write({question: ANSWERS[question]() for question in queries})
