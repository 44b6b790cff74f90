/** Nothing can be proved in this image. The message says why, as the rest of a sentence: `no proof was made: ...`. */
export class NotProvable extends Error {
  override readonly name = 'NotProvable';
}
