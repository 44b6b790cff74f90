import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createGzip } from 'node:zlib';
import type { Programs } from '../../analyze/program.js';
import { findAllLeaks, listAllThreads, summarizeAll } from '../../analyze/report/all-runtimes.js';
import { compareAll } from '../../analyze/report/diff-runtimes.js';
import type { GoroutineState } from '../../analyze/report/diff-changes.js';
import type { AliveGroup } from '../../analyze/report/leaks.js';
import type { LongList } from '../../analyze/report/long-list.js';
import type { Selection } from '../../analyze/report/selection.js';
import { limited } from '../listing.js';
import { PAGE_SCRIPT, PAGE_STYLE } from '../web/bundle.js';
import type {
  PageAlive,
  PageCapture,
  PageChange,
  PageChangeList,
  PageChanges,
  PageDocument,
  PageState,
} from '../web/document.js';
import { collectGoroutines } from './page-goroutines.js';
import { PageTables } from './page-tables.js';
import { collectWaits } from './page-waits.js';

/** Goroutines of each list of changes; the page says how many there are. */
const MAX_CHANGES = 1000;
/** Characters of JSON that are compressed at once. */
const PIECE_LENGTH = 1 << 18;

/** What a page is made of. */
export interface PageInput {
  /** The name of the file, or of the process. */
  readonly name: string;
  readonly programs: Programs;
}

/** The target, or the earlier and the later one. */
export type PageInputs = readonly [PageInput, PageInput?];

/**
 * A page that shows one capture, or compares two, in pieces of text: one HTML file that needs no other and asks nobody for
 * anything. `selection` says which goroutines it lists.
 */
export async function* pageText(inputs: PageInputs, selection: Selection, writer: string): AsyncIterable<string> {
  const document = documentOf(inputs, selection, writer);
  const title = inputs.map((input) => input?.name).join(' and ');
  yield head(`${title}: goroutines`);
  yield* base64(gzipped(jsonOf(document)));
  yield TAIL;
}

/** The policy lets the one script and the one style in, and nothing else from anywhere. */
function head(title: string): string {
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(PAGE_SCRIPT)}`,
    `style-src ${hashOf(PAGE_STYLE)}`,
    "base-uri 'none'",
    "form-action 'none'",
  ];
  return (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n' +
    `<meta http-equiv="Content-Security-Policy" content="${policy.join('; ')}">\n` +
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n' +
    '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n' +
    `<title>${escaped(title)}</title>\n<style>${PAGE_STYLE}</style>\n</head>\n<body>\n` +
    '<div id="page"><noscript>This page shows its data with JavaScript, which is off here. It loads nothing.</noscript></div>\n' +
    '<script type="application/gzip" id="data">'
  );
}

const TAIL = `</script>\n<script>${PAGE_SCRIPT}</script>\n</body>\n</html>\n`;

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/** Text for between tags: what would turn around the direction of reading is left out with all that cannot be seen. */
function escaped(text: string): string {
  return text
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '')
    .replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
}

function documentOf(inputs: PageInputs, selection: Selection, writer: string): PageDocument {
  const tables = new PageTables();
  const [first, second] = inputs;
  const earlier = second === undefined ? null : captureOf(first, selection, tables);
  const capture = captureOf(second ?? first, selection, tables);
  const changes = second === undefined ? null : changesOf(first.programs, second.programs, tables);
  const { strings, locs, stacks } = tables;
  return { schema: 'gospy.page/1', writer, strings, locs, stacks, capture, earlier, changes };
}

function captureOf({ name, programs }: PageInput, selection: Selection, tables: PageTables): PageCapture {
  const { goroutines, labelSets, workSets } = collectGoroutines(programs, selection, tables);
  const { waits, waitsOn } = collectWaits(programs, goroutines, tables);
  const { value: leaks } = findAllLeaks(programs);
  const { value: threads } = listAllThreads(programs);
  const summary = summarizeAll(programs);
  return {
    name,
    summary: summary.value,
    warnings: summary.warnings,
    threads: threads.map((thread) => ({ ...thread, frames: tables.frames(thread.frames) })),
    goroutines: { ...goroutines, waitsOn },
    labelSets,
    workSets,
    waits,
    leaks: {
      proof: leaks.proof,
      groups: leaks.groups.map((group) => ({ ...group, ...placesOf(group, tables) })),
      alive: leaks.alive.map((group) => ({ ...group, ...placesOf(group, tables) })),
    },
  };
}

/** The places of a group of goroutines, as numbers. */
function placesOf(
  { loc, entry, creator }: AliveGroup,
  tables: PageTables,
): Pick<PageAlive, 'loc' | 'entry' | 'creator'> {
  return { loc: tables.loc(loc), entry: tables.loc(entry), creator: tables.loc(creator) };
}

function changesOf(before: Programs, after: Programs, tables: PageTables): PageChanges {
  const { relation, changes, sched } = compareAll(before, after, { kind: 'start' }).value;
  const state = ({ status, waitReason, at }: GoroutineState): PageState => ({ status, waitReason, at: tables.loc(at) });
  const list = <T>(items: LongList<T>, change: (item: T) => PageChange): PageChangeList => {
    return { length: items.length, shown: Array.from(limited(items, MAX_CHANGES), change) };
  };
  return {
    relation,
    lists:
      changes === null
        ? null
        : {
            started: list(changes.started, ({ goid, runtime, entry, ...one }) => {
              return { goid, runtime, entry: tables.loc(entry), before: null, after: state(one) };
            }),
            ended: list(changes.ended, ({ goid, runtime, entry, ...one }) => {
              return { goid, runtime, entry: tables.loc(entry), before: state(one), after: null };
            }),
            moved: list(changes.moved, ({ goid, runtime, entry, ...one }) => {
              return { goid, runtime, entry: tables.loc(entry), before: state(one.before), after: state(one.after) };
            }),
          },
    returned: changes?.returned.length ?? 0,
    parked: changes?.parked.length ?? 0,
    schedtick: sched.schedtick,
  };
}

/** JSON in pieces: that of a million goroutines may be longer than a string can be. */
function* jsonOf(value: unknown): Iterable<string> {
  if (Array.isArray(value)) {
    yield '[';
    for (let from = 0; from < value.length; from += 1000) {
      const items = JSON.stringify(value.slice(from, from + 1000)).slice(1, -1);
      yield from === 0 ? items : `,${items}`;
    }
    yield ']';
  } else if (typeof value === 'object' && value !== null) {
    let separator = '{';
    for (const [key, field] of Object.entries(value) as [string, unknown][]) {
      if (field === undefined) continue;
      yield `${separator}${JSON.stringify(key)}:`;
      yield* jsonOf(field);
      separator = ',';
    }
    yield separator === '{' ? '{}' : '}';
  } else yield JSON.stringify(value);
}

async function* gzipped(pieces: Iterable<string>): AsyncIterable<Buffer> {
  const gzip = createGzip({ level: 6 });
  const fill = async (): Promise<void> => {
    let piece = '';
    for (const text of pieces) {
      piece += text;
      if (piece.length < PIECE_LENGTH) continue;
      if (!gzip.write(piece)) await once(gzip, 'drain');
      piece = '';
    }
    gzip.end(piece);
  };
  const filled = fill();
  for await (const chunk of gzip) yield chunk as Buffer;
  await filled;
}

/** Three bytes become four characters. */
async function* base64(chunks: AsyncIterable<Buffer>): AsyncIterable<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = bytes.length - (bytes.length % 3);
    yield bytes.toString('base64', 0, whole);
    rest = bytes.subarray(whole);
  }
  yield rest.toString('base64');
}
