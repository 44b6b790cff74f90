/** CPUs whose Go programs can be read, named as GOARCH names them. */
export type Arch = 'amd64' | 'arm64';
