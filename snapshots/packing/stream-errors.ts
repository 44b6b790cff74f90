/** A compressed stream ends early. */
export class StreamCut extends Error {
  override readonly name = 'StreamCut';
}

/** Bytes follow a whole stream that are no part of it. */
export class TrailingBytes extends Error {
  override readonly name = 'TrailingBytes';
}

/** A stream that gospy does not unpack, though nothing is wrong with it. `hint` is what to do instead. */
export class StreamRefused extends Error {
  override readonly name = 'StreamRefused';
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}
