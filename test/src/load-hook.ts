/**
 * Loaded into a gospy process: writes a line `loaded URL` to standard error for each module that Node loads.
 */
import { register } from 'node:module';

const LOADER = `
  import { writeSync } from 'node:fs';
  export function load(url, context, next) {
    writeSync(2, 'loaded ' + url + '\\n');
    return next(url, context);
  }`;

register(`data:text/javascript,${encodeURIComponent(LOADER)}`);
