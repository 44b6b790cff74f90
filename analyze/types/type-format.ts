/** How type descriptors differ between releases: abi.Type in internal/abi/type.go; _type in runtime/type.go before 1.21. */
export interface TypeFormat {
  /** How the length of a name is written: name.nameLen in runtime/type.go; Name.ReadVarint in internal/abi/type.go. */
  readonly nameLength: 'two bytes' | 'varint';
  /** True where a field's offset is shifted left by one, and the lowest bit says that it is embedded (structfield.offsetAnon). */
  readonly shiftedOffsets: boolean;
  /** What says that an interface holds the value itself: KindDirectIface in `kind`; TFlagDirectIface in `tflag` since 1.26. */
  readonly direct: 'kind' | 'tflag';
  /** Size of maptype (internal/abi/map_swiss.go, map.go; runtime/type.go before 1.21), in bytes. */
  readonly mapBytes: number;
}
