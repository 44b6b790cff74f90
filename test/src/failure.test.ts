import t from 'tap';
import { badFile, usageError } from '../../snapshots/errors.js';
import { describeFailure } from '../../src/failure.js';

function withDebug<T>(value: string, action: () => T): T {
  const before = process.env['GOSPY_DEBUG'];
  process.env['GOSPY_DEBUG'] = value;
  try {
    return action();
  } finally {
    if (before === undefined) delete process.env['GOSPY_DEBUG'];
    else process.env['GOSPY_DEBUG'] = before;
  }
}

t.test('failure: an error of the family is its message and its hint in one line, and its exit code', (t) => {
  t.same(
    withDebug('', () => describeFailure('info', badFile('x.gsp is damaged', { hint: 'copy it again' }))),
    { exitCode: 5, text: 'gospy info: x.gsp is damaged. Copy it again.' },
  );
  t.same(
    withDebug('', () =>
      describeFailure('', usageError('Ends already.\n(Did you mean this?)', { hint: 'gospy --help tells' })),
    ),
    { exitCode: 2, text: 'gospy: Ends already. (Did you mean this?). gospy --help tells.' },
  );
  t.end();
});

t.test('failure: anything else is a bug, and says where to report it', (t) => {
  const { exitCode, text } = withDebug('', () => describeFailure('summary', new TypeError('x is undefined')));
  t.equal(exitCode, 1);
  t.match(text, /^gospy summary: this is a bug of gospy's: TypeError: x is undefined\. Please report it to /);
  t.notMatch(text, /\n/);
  t.match(describeFailure('summary', 'thrown'), { exitCode: 1, text: /bug of gospy's: thrown\./ });
  t.end();
});

t.test('failure: GOSPY_DEBUG=1 adds the stack, with causes', (t) => {
  const error = badFile('x.gsp is damaged', { cause: new RangeError('past the end') });
  const { text } = withDebug('1', () => describeFailure('info', error));
  t.match(text, /^gospy info: x\.gsp is damaged\.\nGospyError/);
  t.match(text, /\n +at .*failure\.test/);
  t.match(text, /RangeError: past the end/);
  t.end();
});

t.test('failure: what a hostile file put into a message does not reach the terminal', (t) => {
  t.match(
    withDebug('', () => describeFailure('info', badFile('\u001b[2Jx'))),
    { text: 'gospy info: \\x1b[2Jx.' },
  );
  t.end();
});
