import { mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { Hyperlinks, takesHyperlinks } from '../../src/hyperlinks.js';
import { Io } from '../../src/io.js';
import { placeText } from '../../src/render/place.js';
import { sourcePlaces } from '../../src/source-places.js';
import { temporaryFolder } from '../support/gsp.js';
import { gospyHere } from './gospy-here.js';

/** A terminal that opens links. */
class Terminal extends Io {
  shown = '';

  override get takesLinks(): boolean {
    return true;
  }

  override put(text: string): Promise<void> {
    this.shown += text;
    return Promise.resolve();
  }
}

function folderWith(t: { teardown(end: () => void): void }, files: Readonly<Record<string, string>>): string {
  const folder = temporaryFolder(t);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

const place = (func: string, file: string): { func: string; file: string; line: number } => ({ func, file, line: 7 });

t.test('source places: finds files of a module, and no others', (t) => {
  const root = folderWith(t, {
    'go.mod': '// a module\nmodule "example.com/shop"\n',
    ...{ 'main.go': '', 'cmd/a/main.go': '', 'cart/cart.go': '', 'errors/errors.go': '', 'yaml.v3/y.go': '' },
  });
  const placeOf = sourcePlaces(new Io(), root);
  const isFound = (func: string, file: string, at: string): void => {
    t.equal(placeOf(place(func, file)), `${join(root, at)}:7`, `${func} ${file}`);
  };
  const isKept = (func: string, file: string): void => {
    t.equal(placeOf(place(func, file)), `${file}:7`, `${func} ${file}`);
  };
  isFound('main.main', 'example.com/shop/cmd/a/main.go', 'cmd/a/main.go');
  isFound('main.main', '/build/x/cmd/a/main.go', 'cmd/a/main.go');
  isFound('main.main', '/build/shop/main.go', 'main.go');
  isFound('example.com/shop/cart.(*Cart[example.com/x.T]).Add', '/build/x/cart/cart.go', 'cart/cart.go');
  isFound('example.com/shop.Open', '/build/x/main.go', 'main.go');
  isFound('example.com/shop/yaml%2ev3.Load', '/build/x/yaml.v3/y.go', 'yaml.v3/y.go');
  // As `go install example.com/shop/cmd/a@v1.0.0` names them.
  isFound('main.main', 'example.com/shop@v1.0.0/cmd/a/main.go', 'cmd/a/main.go');
  isFound('example.com/shop/cart.Add', 'example.com/shop@v1.0.0/cart/cart.go', 'cart/cart.go');
  isFound('main.main', '/go/pkg/mod/example.com/shop@v1.0.0/main.go', 'main.go');
  // A package of that name, and a file that fits by its last element alone.
  isKept('errors.New', '/usr/local/go/src/errors/errors.go');
  isKept('errors.New', 'errors/errors.go');
  isKept('example.com/shopping/cart.Add', '/build/x/cart/cart.go');
  isKept('example.com/shop/cart.Add', '/build/x/generated/cart.go');
  isKept('main.main', '/build/x/cmd/b/main.go');
  isKept('example.com/shop/cart.Add', 'example.com/shop@v1.0.0/sub/cart.go');
  isKept('example.com/shop/cart.Add', 'example.com/shop@v1.0.0');
  isKept('main.main', 'example.com/shop@v1.0.0/cart/../../../etc/passwd');
  isKept('main.main', 'example.com/shop/cart/../../../etc/passwd');
  isKept('main.main', '/x/cart/../cart/cart.go');
  isKept('main.main', 'example.com/shop/cart');
  t.equal(placeOf(place('a', 'example.com/shop/\u0000\u001b')), 'example.com/shop/\\x00\\x1b:7');
  t.match(placeOf(place('a', `example.com/shop/${'x'.repeat(10_000)}`)), /^example.com\/shop\/x{10000}:7$/);
  t.equal(placeOf(place('__proto__', '__proto__')), '__proto__:7');
  t.end();
});

t.test('source places: modules of a workspace, the innermost first', (t) => {
  const root = folderWith(t, {
    'go.work': 'go 1.22\nuse (\n\t./a // one\n\t"./b"\n)\nuse ./c\n',
    ...{ 'a/go.mod': 'module example.com/m', 'a/x.go': '', 'a/sub/y.go': '' },
    ...{
      'b/go.mod': 'module example.com/m/sub',
      'b/y.go': '',
      'c/go.mod': 'module (\n\texample.com/c\n)',
      'c/z.go': '',
    },
  });
  const placeOf = sourcePlaces(new Io(), root);
  t.equal(placeOf(place('f', 'example.com/m/x.go')), `${join(root, 'a/x.go')}:7`);
  t.equal(placeOf(place('f', 'example.com/m/sub/y.go')), `${join(root, 'b/y.go')}:7`);
  t.equal(placeOf(place('f', 'example.com/c/z.go')), `${join(root, 'c/z.go')}:7`);
  t.end();
});

t.test('source places: a folder without a module is a usage error', async (t) => {
  const sample = new URL('../../../snapshots/samples/queue.gsp', import.meta.url).pathname;
  for (const command of ['summary', 'goroutines', 'stacks', 'top --once']) {
    const { code, stdout, stderr } = await gospyHere([
      ...command.split(' '),
      sample,
      '--source-root',
      temporaryFolder(t),
    ]);
    t.equal(code, 2, command);
    t.equal(stdout, '', command);
    t.match(stderr, /--source-root .*: there is no go\.mod/, command);
  }
});

t.test('links: lead to files that are here, on terminals alone', async (t) => {
  const name = 'b c%\u202e.go';
  const root = folderWith(t, { 'go.mod': 'module m.org/m', 'a.go': '', [name]: '' });
  const terminal = new Terminal();
  const placeOf = sourcePlaces(terminal, root);
  const link = (url: string, text: string): string =>
    `\u001b]8;;file://${hostname().toLowerCase()}${root}/${url}#7\u001b\\${text}\u001b]8;;\u001b\\`;
  const texts = [
    [place('main.(*T).f', `${root}/a.go`), `main.(*T).f (${link('a.go', `${root}/a.go:7`)})`],
    [place('f', 'm.org/m/a.go'), `f (${link('a.go', `${root}/a.go:7`)})`],
    [place('f', `m.org/m/${name}`), `f (${link('b%20c%25%E2%80%AE.go', `${root}/b c%\\u202e.go:7`)})`],
    [place('f', '/nowhere/a.go'), 'f (/nowhere/a.go:7)'],
    [place('f', 'runtime/proc.go'), 'f (runtime/proc.go:7)'],
    [place('\u001b]8;;file:///etc\u001b\\f', 'x.go'), '\\x1b]8;;file:///etc\\x1b\\f (x.go:7)'],
  ] as const;
  for (const [at, expected] of texts) {
    terminal.shown = '';
    await terminal.write(placeText(at, placeOf));
    t.equal(terminal.shown, expected);
  }
  t.end();
});

t.test('links: a text that stands for two files is none', (t) => {
  const links = new Hyperlinks();
  links.add('…/a.go:1', '/x/a.go', 1);
  t.match(links.linked('f (…/a.go:1)'), /x\/a\.go#1/);
  t.match(links.linked('g()\n\t…/a.go:1 +0x20\n'), /#1/);
  links.add('…/a.go:1', '/y/a.go', 1);
  t.equal(links.linked('f (…/a.go:1)'), 'f (…/a.go:1)');
  links.add('/long', `/${'x'.repeat(3000)}`, 1);
  t.equal(links.linked('(/long:1)'), '(/long:1)');
  t.end();
});

t.test('links: which terminals open them', (t) => {
  const on = [
    { TERM: 'xterm-kitty' },
    { TERM: 'xterm-256color', TERM_PROGRAM: 'vscode' },
    { TERM: 'xterm-256color', VTE_VERSION: '7600' },
    { TERM: 'xterm-256color', WT_SESSION: 'x' },
    { TERM: 'dumb', FORCE_HYPERLINK: '1' },
    { NO_COLOR: '1', FORCE_HYPERLINK: '1' },
  ];
  const off = [
    {},
    { TERM: 'xterm-256color' },
    { TERM: 'xterm-256color', VTE_VERSION: '5000' },
    { TERM: 'xterm-256color', TERM_PROGRAM: 'Apple_Terminal' },
    { TERM: 'xterm-kitty', NO_COLOR: '1' },
    { TERM: 'xterm-kitty', FORCE_HYPERLINK: '0' },
    { TERM: 'screen-256color', VTE_VERSION: '7600' },
    { TERM: 'dumb', TERM_PROGRAM: 'vscode' },
  ];
  for (const env of on) t.ok(takesHyperlinks(env), JSON.stringify(env));
  for (const env of off) t.notOk(takesHyperlinks(env), JSON.stringify(env));
  t.end();
});
