import type { Check } from '../doctor/check.js';
import type { ModeVerdict, ProcessDiagnosis } from '../doctor/process.js';
import { duration, printable } from './text.js';
import { padEnd } from './width.js';

const LABEL_COLUMNS = 14;

/** A line a check, and below each that failed a line with what to try. */
export function doctorText(machine: readonly Check[], diagnosis: ProcessDiagnosis | null): string {
  const parts = ['This machine\n', ...machine.map(checkLines)];
  if (diagnosis !== null) {
    parts.push(`\nProcess ${diagnosis.pid}\n`, ...diagnosis.checks.map(checkLines), ...modeLines(diagnosis.modes));
  }
  return parts.join('');
}

function checkLines({ name, ok, finding, advice }: Check): string {
  const hint = ok === false && advice !== null ? `     ${padEnd('', LABEL_COLUMNS)}${printable(advice)}\n` : '';
  return `${line(ok, name, finding)}${hint}`;
}

/** A line a mode. A reason that was just given is not given again. */
function modeLines(modes: readonly ModeVerdict[]): string[] {
  return modes.map(({ mode, works, reason, predictedPauseNs }, i) => {
    const before = modes[i - 1];
    const again = before !== undefined && !before.works && before.reason === reason;
    const why = again ? ', for the same reason' : `: ${reason ?? ''}`;
    return line(works, `mode ${mode}`, works ? `works${pauseText(predictedPauseNs)}` : `does not work${why}`);
  });
}

function pauseText(ns: number | null): string {
  if (ns === null) return '';
  return ns === 0 ? ': nothing is stopped' : `: the process would stand still for about ${duration(ns)}`;
}

function line(ok: boolean | null, label: string, text: string): string {
  const mark = ok === null ? '--' : ok ? 'ok' : 'NO';
  return `  ${mark} ${padEnd(label, LABEL_COLUMNS)}${printable(text)}\n`;
}
