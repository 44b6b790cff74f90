import t from 'tap';
import { foldLists, foldPath, foldSql } from '../../analyze/work/fold.js';

t.test('fold: ids in paths are replaced, and words are not', (t) => {
  t.equal(foldPath('/v1/orders/17'), '/v1/orders/{n}');
  t.equal(foldPath('/u/6f1c2f9e-8a3b-4c60-9d1e-0a5b7c9d2e4f/x'), '/u/{n}/x');
  t.equal(foldPath('/static/site.css'), '/static/site.css');
  t.end();
});

t.test('fold: no literal of a statement is left, whatever dialect it is', (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ["SELECT * FROM t WHERE a = 'planted' AND b = 17", 'SELECT * FROM t WHERE a = ? AND b = ?'],
    ["SELECT 'it''s planted', x", 'SELECT ?, x'],
    ["SELECT 'it\\'s planted', 'planted'", 'SELECT ?...'],
    ['SELECT "planted" FROM `t1` WHERE c = $1', 'SELECT ? FROM `t1` WHERE c = $1'],
    ['SELECT $$planted$$, $tag$planted$tag$', 'SELECT ?, ?'],
    ["INSERT INTO t VALUES ('planted", 'INSERT INTO t VALUES (?...'],
    ['SELECT 1 -- planted\n, 0x2F /* planted */ FROM t2', 'SELECT ? , ? FROM t2'],
    ["SELECT E'planted', 1.5e3, -7", 'SELECT E?, ?, -?'],
  ];
  for (const [statement, folded] of cases) t.equal(foldSql(statement), folded);
  t.equal(foldLists('a IN (?, ?, ?) AND b IN ($1,$2)'), 'a IN (?, ...) AND b IN (?, ...)');
  t.end();
});
