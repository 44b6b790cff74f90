import type { Analysis } from './analysis.js';
import { debuggersAnalysis } from './report/debuggers.js';
import { diffAnalysis } from './report/diff.js';
import { explainAnalysis } from './report/explain.js';
import { goroutinesAnalysis } from './report/goroutines.js';
import { groupsAnalysis } from './report/groups.js';
import { leaksAnalysis } from './report/leaks.js';
import { holdersAnalysis } from './report/lock-holders.js';
import { missingAnalysis } from './report/missing.js';
import { summaryAnalysis } from './report/summary.js';
import { threadsAnalysis } from './report/threads.js';
import { tracebacksAnalysis } from './report/traceback.js';
import { waitsAnalysis } from './report/waits.js';

/** Every analysis. A snapshot holds what these read: a report that is not listed here works on live processes only. */
export const ANALYSES: readonly Analysis[] = [
  summaryAnalysis,
  goroutinesAnalysis,
  groupsAnalysis,
  tracebacksAnalysis,
  threadsAnalysis,
  diffAnalysis,
  leaksAnalysis,
  missingAnalysis,
  explainAnalysis,
  debuggersAnalysis,
  waitsAnalysis,
  holdersAnalysis,
];
