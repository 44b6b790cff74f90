/** The tables that SQL sees, and their columns: docs/dataset.md describes them, and promises names and types. */

export type ColumnType = 'BIGINT' | 'INTEGER' | 'BOOLEAN' | 'VARCHAR' | 'DATE' | 'TIMESTAMPTZ' | Nested;

/** Types of DuckDB that hold others. */
type Nested = typeof LABELS | typeof FRAMES | typeof WAITS | typeof WORK;

const LABELS = 'MAP(VARCHAR, VARCHAR)';
const FRAMES = 'STRUCT(func VARCHAR, file VARCHAR, line INTEGER, pc BIGINT, inlined BOOLEAN)[]';
const WAITS =
  'STRUCT(kind VARCHAR, addr VARCHAR, op VARCHAR, len BIGINT, cap BIGINT, elem_type VARCHAR, closed BOOLEAN, counter BIGINT, fd BIGINT, deadline_ns BIGINT, due_ns BIGINT)[]';
const WORK = 'STRUCT(kind VARCHAR, text VARCHAR, sure BOOLEAN, since TIMESTAMPTZ, grouped VARCHAR)[]';

/** Columns by name, in order. */
export type Columns = Readonly<Record<string, ColumnType>>;

/** The version of what {@link GOROUTINES} has: columns are only added within one. */
export const DATASET_SCHEMA = 'gospy.dataset/1';

/** Which capture a row is of: the same in every row of one Go runtime of a target. */
export const IDENTITY = {
  snapshot: 'VARCHAR',
  service: 'VARCHAR',
  host: 'VARCHAR',
  date: 'DATE',
  captured_at: 'TIMESTAMPTZ',
  pid: 'BIGINT',
  runtime: 'INTEGER',
  bin: 'VARCHAR',
  build_id: 'VARCHAR',
  go_version: 'VARCHAR',
} as const satisfies Columns;

/** What the data set says of a capture besides. */
export const CAPTURE = {
  kind: 'VARCHAR',
  arch: 'VARCHAR',
  gomaxprocs: 'INTEGER',
  mode: 'VARCHAR',
  pause_ns: 'BIGINT',
} as const satisfies Columns;

/** What is known of a goroutine without its places, stack and labels. */
const STATE = {
  goid: 'BIGINT',
  status: 'VARCHAR',
  wait_reason: 'VARCHAR',
  wait_ns: 'BIGINT',
  system: 'BOOLEAN',
  m: 'BIGINT',
  tid: 'BIGINT',
  locked_to_thread: 'BOOLEAN',
  parent_goid: 'BIGINT',
} as const satisfies Columns;

/** Where a goroutine was made, begins, and is. */
const PLACES = {
  creator_func: 'VARCHAR',
  creator_file: 'VARCHAR',
  creator_line: 'INTEGER',
  entry_func: 'VARCHAR',
  entry_file: 'VARCHAR',
  entry_line: 'INTEGER',
  user_func: 'VARCHAR',
  user_file: 'VARCHAR',
  user_line: 'INTEGER',
  app_func: 'VARCHAR',
  app_file: 'VARCHAR',
  app_line: 'INTEGER',
} as const satisfies Columns;

/** How much of a goroutine is known. */
const WHOLENESS = { torn: 'BOOLEAN', truncated: 'VARCHAR' } as const satisfies Columns;

/** What is known of a goroutine without its stack and labels. */
const GOROUTINE = { ...STATE, ...PLACES, ...WHOLENESS } as const satisfies Columns;

/** What a row of the data set nests. */
export const NESTED = { labels: LABELS, frames: FRAMES, waits_on: WAITS, work: WORK } as const satisfies Columns;

/** One row a goroutine, with all that is known of it: also what a parquet file has. */
export const GOROUTINES: Columns = { ...IDENTITY, ...CAPTURE, ...GOROUTINE, ...NESTED };

export const FRAME = { func: 'VARCHAR', file: 'VARCHAR', line: 'INTEGER', pc: 'BIGINT', inlined: 'BOOLEAN' } as const satisfies Columns; // prettier-ignore

export const PROCESSOR = {
  id: 'INTEGER',
  status: 'VARCHAR',
  schedtick: 'BIGINT',
  syscalltick: 'BIGINT',
  m: 'BIGINT',
  runqsize: 'INTEGER',
  since_scheduled_ns: 'BIGINT',
} as const satisfies Columns;

export const THREAD = {
  m: 'BIGINT',
  tid: 'BIGINT',
  name: 'VARCHAR',
  state: 'VARCHAR',
  goid: 'BIGINT',
  func: 'VARCHAR',
  file: 'VARCHAR',
  line: 'INTEGER',
} as const satisfies Columns;

/** What is appended as JSON, with its type in {@link GOROUTINES}: appending nested values takes a hundred times as long. */
const UNPARSED = { labels: 'VARCHAR', waits_on: 'VARCHAR', work: 'VARCHAR' } as const satisfies Columns;

/** What is appended as text, since it may be none. */
const UNCAST = { date: 'VARCHAR', captured_at: 'VARCHAR' } as const satisfies Columns;

/** Numbers of places, in place of {@link PLACES}: many goroutines have few, and appending texts takes longest of all. */
const NUMBERED = {
  creator_place: 'INTEGER',
  entry_place: 'INTEGER',
  user_place: 'INTEGER',
  app_place: 'INTEGER',
} as const satisfies Columns;

/** Where rows come from before they are nested: each target is appended to these. `snap` numbers the targets' runtimes. */
export const LOADED = {
  loaded_snapshots: { snap: 'INTEGER', path: 'VARCHAR', ...IDENTITY, ...CAPTURE, ...UNCAST },
  loaded_goroutines: { snap: 'INTEGER', stack: 'INTEGER', ...STATE, ...NUMBERED, ...WHOLENESS, ...UNPARSED },
  loaded_places: { place: 'INTEGER', func: 'VARCHAR', file: 'VARCHAR', line: 'INTEGER' },
  loaded_frames: { snap: 'INTEGER', stack: 'INTEGER', depth: 'INTEGER', ...FRAME },
  loaded_ps: { snap: 'INTEGER', ...PROCESSOR },
  loaded_threads: { snap: 'INTEGER', ...THREAD },
} as const satisfies Record<string, Columns>;
export type LoadedTable = keyof typeof LOADED;

/** What SQL sees, with what each is, for the prompt and for the documentation. */
export const VIEWS = {
  snapshots: 'a row for each Go runtime in each target',
  goroutines: 'a row a goroutine, with its labels, frames, waits and work nested',
  frames: 'a row a frame: the goroutine, and depth from 0 for the innermost',
  labels: 'a row a pprof label of a goroutine: key and value',
  waits: 'a row for each thing that a goroutine waits on',
  work: 'a row for each thing that a goroutine works on',
  ps: 'a row a P; of snapshots, cores and processes only',
  threads: 'a row a thread, with its innermost function; of snapshots, cores and processes only',
} as const satisfies Record<string, string>;

/** The places of a goroutine, in the order of {@link PLACES}. */
const PLACE_KINDS = ['creator', 'entry', 'user', 'app'] as const;
const namesOf = (columns: Columns): string => Object.keys(columns).join(', ');
const key = 'snapshot, service, host, date, captured_at, pid, runtime, bin, build_id, go_version, goid';

/** A list of structs as json_transform takes it, which gives fields that are not there as NULL. */
function structureOf(type: typeof WAITS | typeof WORK): string {
  const fields = [...type.matchAll(/(\w+) (\w+)/g)].map(([, name = '', of = '']) => `"${name}":"${of}"`);
  return `[{${fields.join()}}]`;
}

const SNAPSHOTS = `(SELECT * REPLACE (${Object.keys(UNCAST)
  .map((name) => `TRY_CAST(${name} AS ${IDENTITY[name as keyof typeof UNCAST]}) AS ${name}`)
  .join()}) FROM loaded_snapshots)`;

/** One row with lists of all places, by their numbers from 0: a join for each place of a goroutine would change the order of rows. */
const PLACE_LISTS = `SELECT ${['func', 'file', 'line'].map((part) => `list(${part} ORDER BY place) AS ${part}`).join(', ')} FROM loaded_places`;

/** SQL that nests what was loaded into rows of {@link GOROUTINES}. */
export const LOADED_GOROUTINES = `
  SELECT ${namesOf(IDENTITY)}, ${namesOf(CAPTURE)}, ${namesOf(STATE)},
    ${PLACE_KINDS.map((at) => `func[${at}_place + 1] AS ${at}_func, file[${at}_place + 1] AS ${at}_file, line[${at}_place + 1] AS ${at}_line`).join(', ')},
    ${namesOf(WHOLENESS)},
    CAST(CAST(g.labels AS JSON) AS ${LABELS}) AS labels,
    coalesce(f.frames, []) AS frames,
    json_transform(g.waits_on, '${structureOf(WAITS)}') AS waits_on,
    json_transform(g.work, '${structureOf(WORK)}') AS work
  FROM loaded_goroutines g JOIN ${SNAPSHOTS} s USING (snap) LEFT JOIN loaded_stacks f USING (snap, stack)
    CROSS JOIN (${PLACE_LISTS})`;

/** SQL that nests frames: once for each distinct stack, after they are loaded. */
export const NEST_STACKS = `
  CREATE OR REPLACE TABLE loaded_stacks AS
  SELECT snap, stack, list(struct_pack(func := func, file := file, line := line, pc := pc, inlined := inlined) ORDER BY depth) AS frames
  FROM loaded_frames GROUP BY snap, stack`;

/** SQL that makes the views: of what was loaded, and of `dataset`, a query for rows of {@link GOROUTINES}, if there is one. */
export function viewsSql(dataset: string | null): string[] {
  // A capture that is loaded may be in the data set too.
  const others = `(${dataset ?? ''}) WHERE captured_at IS NULL OR snapshot NOT IN (SELECT snapshot FROM loaded_snapshots)`;
  const all =
    dataset === null
      ? LOADED_GOROUTINES
      : `${LOADED_GOROUTINES} UNION ALL SELECT ${namesOf(GOROUTINES)} FROM ${others}`;
  const ofDataset =
    dataset === null
      ? ''
      : `UNION ALL SELECT DISTINCT NULL AS path, ${namesOf(IDENTITY)}, ${namesOf(CAPTURE)} FROM ${others}`;
  const identified = (table: string, columns: Columns): string =>
    `SELECT ${namesOf(IDENTITY)}, t.* EXCLUDE (snap) FROM (SELECT snap, ${namesOf(columns)} FROM ${table}) t JOIN ${SNAPSHOTS} USING (snap)`;
  const definitions: Readonly<Record<keyof typeof VIEWS, string>> = {
    snapshots: `SELECT path, ${namesOf(IDENTITY)}, ${namesOf(CAPTURE)} FROM ${SNAPSHOTS} ${ofDataset}`,
    goroutines: all,
    frames: `SELECT ${key}, CAST(d - 1 AS INTEGER) AS depth, unnest(frames[d])
      FROM (SELECT ${key}, frames, unnest(range(1, len(frames) + 1)) AS d FROM goroutines)`,
    labels: `SELECT ${key}, e.key AS key, e.value AS value FROM (SELECT ${key}, unnest(map_entries(labels)) AS e FROM goroutines)`,
    waits: `SELECT ${key}, unnest(w) FROM (SELECT ${key}, unnest(waits_on) AS w FROM goroutines)`,
    work: `SELECT ${key}, unnest(w) FROM (SELECT ${key}, unnest(work) AS w FROM goroutines)`,
    ps: identified('loaded_ps', PROCESSOR),
    threads: identified('loaded_threads', THREAD),
  };
  return Object.entries(definitions).map(([name, sql]) => `CREATE OR REPLACE VIEW ${name} AS ${sql}`);
}
