import { ofAll, RELEASES, type Cell, type Release } from './releases.js';

/** A program that says what each of its goroutines works on. */
export const WORKING_CELLS: readonly Cell[] = [
  ...ofAll(Object.keys(RELEASES) as Release[], ['1.13', '1.21', '1.26', '1.27']).map((release): Cell => ({
    fixture: 'working',
    release,
    link: 'stripped',
  })),
  ...ofAll(['1.17', '1.19', '1.23', '1.24', '1.26', '1.27'], []).flatMap((release) =>
    (['plain', 'pie'] as const).map((link): Cell => ({ fixture: 'working', release, link })),
  ),
];

/** A server under load: of a release that counts how often goroutines run, and of one that does not. */
export const HAMMERED_CELLS: readonly Cell[] = ofAll(
  ['1.12', '1.16', '1.17', '1.21', '1.24', '1.27'],
  ['1.12', '1.27'],
).map((release): Cell => ({ fixture: 'hammered', release, link: 'stripped' }));

/** A program that says what the arguments of its calls are. */
export const TYPED_CELLS: readonly Cell[] = ofAll(Object.keys(RELEASES) as Release[], [
  '1.12',
  '1.17',
  '1.22',
  '1.24',
  '1.27',
]).map((release): Cell => ({ fixture: 'typed', release, link: release === '1.22' ? 'pie' : 'stripped' }));

/** The same with debug information, which names all types: of releases whose lists of types, or names, differ. */
export const NAMED_TYPES_CELLS: readonly Cell[] = ofAll(Object.keys(RELEASES) as Release[], [
  '1.12',
  '1.17',
  '1.26',
  '1.27',
]).map((release): Cell => ({ fixture: 'typed', release, link: 'plain' }));

/** A program whose goroutines work on one thing of each kind, and say so. */
export const DECODED_CELLS: readonly Cell[] = [
  ...ofAll(['1.13', '1.17', '1.19', '1.21', '1.23', '1.24', '1.26', '1.27'], ['1.13', '1.17', '1.27']).map(
    (release): Cell => ({ fixture: 'decoders', release, link: 'stripped' }),
  ),
  ...ofAll(['1.13', '1.17', '1.19', '1.21', '1.23', '1.24', '1.26', '1.27'], []).flatMap((release) =>
    (['plain', 'pie', 'cgo'] as const).map((link): Cell => ({ fixture: 'decoders', release, link })),
  ),
];

/** The same for arm64, which an emulator runs: of releases that pass arguments on the stack, and in registers. */
export const DECODED_ARM64_CELLS: readonly Cell[] = ofAll(
  ['1.13', '1.17', '1.19', '1.22', '1.24', '1.26'],
  ['1.26'],
).map((release): Cell => ({ fixture: 'decoders', release, link: 'stripped', arch: 'arm64' }));

/** A program that calls methods of gRPC: releases of grpc, and the releases of Go that build them. */
export const RPC_CELLS: readonly Cell[] = [
  ...ofAll(['1.19', '1.21', '1.23'], []).map((release) => rpc(release, 'v1.58.3', 'v0.17.0')),
  ...ofAll(['1.24', '1.26', '1.27'], ['1.26']).map((release) => rpc(release, 'v1.75.1', 'v0.44.0')),
];

function rpc(release: Release, grpc: string, net: string): Cell {
  const requires = `(\n\tgoogle.golang.org/grpc ${grpc}\n\tgolang.org/x/net ${net}\n)`;
  return { fixture: 'rpc', release, link: 'stripped', args: ['-mod=mod'], requires };
}

/** A program with work of its own kinds: of a library, and of its own. */
export const BROKER_CELL: Cell = {
  ...{ fixture: 'broker', release: '1.26', link: 'stripped', args: ['-mod=mod'] },
  requires: 'github.com/segmentio/kafka-go v0.4.47',
};
