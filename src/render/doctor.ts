import type { Check } from '../doctor/check.js';
import type { ModeVerdict, ProcessDiagnosis } from '../doctor/process.js';
import { duration, printable } from './text.js';

const MARKS = new Map([
  [true, 'ok'],
  [false, 'NO'],
  [null, '--'],
]);

const LABEL_WIDTH = 14;

/** A line a check, and below those that failed what to try. */
export function doctorText(machine: readonly Check[], diagnosis: ProcessDiagnosis | null): string {
  const parts = ['This machine\n', ...machine.map(checkLines)];
  if (diagnosis !== null) {
    parts.push(`\nProcess ${diagnosis.pid}\n`, ...diagnosis.checks.map(checkLines), ...diagnosis.modes.map(modeLine));
  }
  return parts.join('');
}

function checkLines({ name, ok, finding, advice }: Check): string {
  const hint = ok === false && advice !== null ? `     ${' '.repeat(LABEL_WIDTH)}${printable(advice)}\n` : '';
  return `${line(ok, name, finding)}${hint}`;
}

function modeLine({ mode, works, reason, predictedPauseNs }: ModeVerdict): string {
  return line(works, `mode ${mode}`, works ? `works${pause(predictedPauseNs)}` : `does not work: ${reason ?? ''}`);
}

function pause(ns: number | null): string {
  if (ns === null) return '';
  return ns === 0 ? ': nothing is stopped' : `: the process would stand still for about ${duration(ns)}`;
}

function line(ok: boolean | null, label: string, text: string): string {
  return `  ${MARKS.get(ok) ?? '--'} ${label.padEnd(LABEL_WIDTH)}${printable(text)}\n`;
}
