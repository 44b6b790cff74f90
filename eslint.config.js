import tseslint from 'typescript-eslint';

/** Rooms of the house, innermost first. A room may import itself and those before it, never those after it. */
const rooms = ['snapshots', 'analyze', 'capture', 'src'];

/** Rooms within a room, innermost first. Files that lie beside them may be imported as `before` says. */
const inner = [
  { room: 'analyze', order: ['binary', 'types', 'runtime', 'stacks', 'match', 'waits', 'leaks', 'work', 'report'] },
  { room: 'capture', order: ['process', 'ptrace', 'copy', 'clone'] },
  { room: 'src', order: ['web', 'targets', 'query', 'export', 'commands'] },
];

/** Files beside the rooms of analyze/ that rooms up to `stacks` may not import: they stand on these. */
const aboveStacks = [
  '../program.js',
  '../stack-ids.js',
  '../analysis.js',
  '../analyses.js',
  '../working-set.js',
  '../extract.js',
];

/** Files beside the rooms of capture/ that stand on a room: that room and those before it may not import them. */
const aboveCapture = {
  '../capture.js': 'clone',
  '../pause-estimate.js': 'copy',
  '../memory-estimate.js': 'process',
};

const pure = { group: ['node:fs', 'node:fs/*', 'node:os', 'node:child_process'], message: 'analyze/ is pure' };
const filesOnly = { group: ['node:child_process'], message: 'snapshots/ only reads files' };
const elf = {
  group: ['**/snapshots/elf/**', '**/elf/**'],
  message: 'ELF is known in src/targets and src/export alone',
};
const notInBrowser = { group: ['node:*', '../*.js'], message: 'the page runs in a browser' };
const terminal = {
  group: ['**/io.js', '**/interrupt.js', '**/failure.js', '**/render/**', '**/tui/**', 'commander'],
  message: 'src/targets opens targets without a terminal',
};

function outerPatterns(room) {
  const i = rooms.indexOf(room);
  const later = [...rooms.slice(i + 1), 'test', 'bench'];
  return [
    {
      group: later.map((name) => `**/${name}/**`),
      message: `${room}/ may import only ${rooms.slice(0, i + 1).join(', ')}`,
    },
    ...(room === 'analyze' ? [pure] : []),
    ...(room === 'snapshots' ? [filesOnly] : []),
  ];
}

function restricted(files, patterns) {
  return { files, rules: { 'no-restricted-imports': ['error', { patterns }] } };
}

const direction = [
  ...rooms.slice(0, -1).map((room) => restricted([`${room}/**/*.{ts,tsx}`], outerPatterns(room))),
  ...inner.flatMap(({ room, order }) =>
    order.map((name, i) =>
      restricted(
        [`${room}/${name}/**/*.{ts,tsx}`],
        [
          ...outerPatterns(room),
          {
            group: order.slice(i + 1).map((later) => `**/${later}/**`),
            message: `${room}/${name} may import only ${order.slice(0, i + 1).join(', ')}`,
          },
          ...(room === 'analyze' && i < order.indexOf('match')
            ? [{ group: aboveStacks, message: `the program stands on ${room}/${name}` }]
            : []),
          ...(room === 'capture'
            ? [
                {
                  group: Object.keys(aboveCapture).filter((file) => i <= order.indexOf(aboveCapture[file])),
                  message: `it stands on ${room}/${name}`,
                },
              ]
            : []),
          ...(name === 'web' ? [notInBrowser, elf] : []),
          ...(name === 'targets' ? [terminal] : []),
          ...(name === 'commands' ? [elf] : []),
        ].filter(({ group }) => group.length > 0),
      ),
    ),
  ),
  restricted(['src/*.ts', 'src/{render,tui,doctor,demo}/**/*.ts'], [...outerPatterns('src'), elf]),
];

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', '.tap/**'] },
  {
    files: ['**/*.{ts,tsx}'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/strict-boolean-expressions': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      'max-lines': ['error', { max: 400, skipComments: true, skipBlankLines: true }],
      'no-restricted-imports': 'off',
    },
  },
  ...direction,
  {
    files: ['**/*.ts'],
    ignores: ['capture/libc.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: "ImportDeclaration[source.value='ffi-rs'],ImportExpression[source.value='ffi-rs']",
          message: 'native code is reached through capture/libc.ts alone',
        },
      ],
    },
  },
  { files: ['test/**/*.ts'], rules: { '@typescript-eslint/no-floating-promises': 'off' } },
);
