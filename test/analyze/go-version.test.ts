import t from 'tap';
import { compareGoVersions, parseGoVersion } from '../../analyze/binary/go-version.js';

t.test('go-version: every form of runtime.Version() is parsed', (t) => {
  const cases: [text: string, minor: number, patch: number, shown: string][] = [
    ['go1.12', 12, 0, '1.12'],
    ['go1.12.17', 12, 17, '1.12.17'],
    ['go1.21.0', 21, 0, '1.21.0'],
    ['go1.27rc1', 27, 0, '1.27rc1'],
    ['go1.20beta1', 20, 0, '1.20beta1'],
    ['go1.21.3 X:nocoverageredesign', 21, 3, '1.21.3 X:nocoverageredesign'],
    ['go1.24.4-custom', 24, 4, '1.24.4-custom'],
    ['go1.22.5 (Red Hat 1.22.5-1.el9)', 22, 5, '1.22.5 (Red Hat 1.22.5-1.el9)'],
    ['go1.24.1-microsoft', 24, 1, '1.24.1-microsoft'],
    ['go1.23.1-ts3f2a1b4', 23, 1, '1.23.1-ts3f2a1b4'],
    ['go1.19.4b4 X:boringcrypto', 19, 4, '1.19.4b4 X:boringcrypto'],
    [
      'devel go1.27-3e5f0ab Tue Jul 1 00:00:00 2026 +0000 linux/amd64',
      27,
      0,
      'devel go1.27-3e5f0ab Tue Jul 1 00:00:00 2026 +0000 linux/amd64',
    ],
  ];
  for (const [text, minor, patch, shown] of cases) t.same(parseGoVersion(text), { text: shown, minor, patch }, text);
  for (const text of ['', 'devel +a1b2c3d Tue', 'go2.0', 'go1', 'gogo', 'cargo1.12', 'go1.']) {
    t.equal(parseGoVersion(text), null, JSON.stringify(text));
  }
  t.end();
});

t.test('go-version: patch releases compare as numbers', (t) => {
  const [old, newer, next] = ['go1.9.9', 'go1.9.10', 'go1.10'].map(parseGoVersion);
  if (!old || !newer || !next) throw new Error('one of them was not parsed');
  t.ok(compareGoVersions(old, newer) < 0);
  t.ok(compareGoVersions(next, newer) > 0);
  t.equal(compareGoVersions(old, old), 0);
  t.end();
});
