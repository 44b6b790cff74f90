import type { WorkItem } from '../../analyze/report/model.js';
import { printable } from './text.js';

/** `http-server: GET /orders from 10.0.0.4:5555, since 2026-01-02 15:04:05Z`; what is not sure begins with `probably`. */
export function workText({ kind, text, sure, since }: WorkItem): string {
  const time = since === null ? '' : `, since ${since.slice(0, 19).replace('T', ' ')}Z`;
  return `${kind}: ${sure ? '' : 'probably '}${printable(text)}${time}`;
}
