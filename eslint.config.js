import tseslint from 'typescript-eslint';

/** Rooms of the house, innermost first. A room may import itself and those before it, never those behind it. */
const rooms = ['snapshots', 'analyze', 'capture', 'src'];

const oneDirection = rooms.slice(0, -1).map((room, i) => ({
  files: [`${room}/**/*.ts`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            group: [...rooms.slice(i + 1), 'test', 'bench'].map((later) => `**/${later}/**`),
            message: `${room}/ may import only ${rooms.slice(0, i + 1).join(', ')}`,
          },
          ...(room === 'analyze'
            ? [{ group: ['node:fs', 'node:fs/*', 'node:os', 'node:child_process'], message: 'analyze/ is pure' }]
            : []),
          ...(room === 'snapshots' ? [{ group: ['node:child_process'], message: 'snapshots/ only reads files' }] : []),
        ],
      },
    ],
  },
}));

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', '.tap/**'] },
  {
    files: ['**/*.ts'],
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
  ...oneDirection,
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
