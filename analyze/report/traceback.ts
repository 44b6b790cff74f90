import type { Analysis } from '../analysis.js';
import { answer } from './answer.js';
import { listGoroutines, WHOLE_GOROUTINE_READS } from './goroutines.js';

/** The stacks of all goroutines as Go's own traceback prints them. */
export const tracebacksAnalysis: Analysis = {
  name: 'tracebacks',
  reads: WHOLE_GOROUTINE_READS,
  answer: (program) => answer(program, [...listGoroutines(program, 'traceback')]),
};
