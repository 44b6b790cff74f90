/** What {@link skip} needs of a tap test. */
export interface SkippableTest {
  pass(message: string, extra: { skip: string }): unknown;
  fail(message: string): unknown;
}

/**
 * Marks a test that cannot run on this machine as skipped; the caller returns from it. Under CI, where every test must
 * run, it fails instead.
 */
export function skip(t: SkippableTest, reason: string): void {
  if (process.env['CI'] === 'true') t.fail(`cannot be skipped under CI: ${reason}`);
  else t.pass('skipped', { skip: reason });
}
