/** A question about goroutines, and the SQL that answers it. */
export interface Example {
  readonly question: string;
  readonly sql: string;
}

/** What `--examples` shows. Each is tested on real captures against an answer that is not SQL's. */
export const EXAMPLES: readonly Example[] = [
  {
    question: 'What blocks most?',
    sql: `SELECT wait_reason, user_func, count(*) AS goroutines
FROM goroutines WHERE status = 'waiting' AND NOT system
GROUP BY ALL ORDER BY goroutines DESC, wait_reason NULLS LAST, user_func NULLS LAST LIMIT 5`,
  },
  {
    question: 'Which functions have more goroutines in one build than in another?',
    sql: `SELECT entry_func, build_id, count(*) / count(DISTINCT snapshot) AS goroutines_a_snapshot
FROM goroutines WHERE NOT system
GROUP BY ALL ORDER BY entry_func NULLS LAST, goroutines_a_snapshot DESC, build_id NULLS LAST LIMIT 5`,
  },
  {
    question: 'Which labels wait longest?',
    sql: `SELECT key, value, count(*) AS goroutines, max(wait_ns) / 1e9 AS seconds
FROM labels JOIN goroutines USING (snapshot, goid)
GROUP BY ALL ORDER BY seconds DESC NULLS LAST, key, value LIMIT 5`,
  },
  {
    question: 'Which goroutines have outlived the one that made them?',
    sql: `SELECT child.goid, child.parent_goid, child.entry_func
FROM goroutines child ANTI JOIN goroutines parent
  ON parent.snapshot = child.snapshot AND parent.goid = child.parent_goid
WHERE child.parent_goid IS NOT NULL AND NOT child.system
ORDER BY child.snapshot, child.goid LIMIT 5`,
  },
  {
    question: 'Which functions are on most stacks?',
    sql: `SELECT func, count(DISTINCT (snapshot, goid)) AS goroutines
FROM frames GROUP BY func ORDER BY goroutines DESC, func LIMIT 5`,
  },
  {
    question: 'Which stacks are deepest?',
    sql: `SELECT goid, len(frames) AS depth, entry_func
FROM goroutines ORDER BY depth DESC, snapshot, goid LIMIT 5`,
  },
  {
    question: 'What do most goroutines wait on?',
    sql: `SELECT kind, op, addr, count(*) AS goroutines
FROM waits WHERE addr IS NOT NULL
GROUP BY ALL ORDER BY goroutines DESC, addr, op NULLS LAST LIMIT 5`,
  },
  {
    question: 'Who makes goroutines, and where?',
    sql: `SELECT creator_func, creator_file, creator_line, count(*) AS goroutines
FROM goroutines WHERE NOT system
GROUP BY ALL ORDER BY goroutines DESC, creator_func NULLS LAST, creator_file, creator_line LIMIT 5`,
  },
  {
    question: 'On which hosts does which build run?',
    sql: `SELECT service, host, build_id, go_version, count(*) AS runtimes, min(captured_at) AS first, max(captured_at) AS last
FROM snapshots GROUP BY ALL ORDER BY service, host NULLS LAST, first`,
  },
  {
    question: 'How many threads are in which state, and how many Ps have work that waits?',
    sql: `SELECT (SELECT string_agg(line, ', ' ORDER BY line) FROM
    (SELECT state || ': ' || count(*) AS line FROM threads GROUP BY state)) AS threads,
  (SELECT count(*) FROM ps) AS ps, (SELECT count(*) FROM ps WHERE runqsize > 0) AS ps_with_queue`,
  },
];
