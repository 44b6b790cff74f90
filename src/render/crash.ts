import type { Crash } from '../../analyze/report/model.js';

/** `crashed: SIGSEGV at 0x0 in goroutine 7, on thread 4712`; empty for a program that did not crash. */
export function crashLine(crash: Crash | null): string {
  if (crash === null) return '';
  const { signal, addr, sender, endedBy, goid, tid } = crash;
  const from = sender === null ? '' : `, sent by process ${sender},`;
  const where = goid === null ? 'outside of any goroutine' : `in goroutine ${goid}`;
  const end = endedBy === signal ? '' : `, ended by ${endedBy}`;
  return `crashed: ${signal}${addr === null ? '' : ` at ${addr}`}${from} ${where}, on thread ${tid}${end}\n`;
}
