import type { Cell } from './releases.js';

/** A name of 10,000 letters. */
export const LONG_NAME = 'long'.repeat(2500);

/** `odd`, with a function whose name is {@link LONG_NAME}. */
export const ODD_CELL: Cell = {
  ...{ fixture: 'odd', release: '1.26', link: 'plain' },
  replace: [
    '// LONG',
    `func init() { functions = append(functions, ${LONG_NAME}) }\n\nfunc ${LONG_NAME}() {\n\tpark()\n}`,
  ],
};
