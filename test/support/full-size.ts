/** Whether tests run in full size: `npm run test:all` and `npm run test:survival`, which take hours, ask for it. */
export const FULL_SIZE = process.env['GOSPY_TEST_ALL'] === '1';
