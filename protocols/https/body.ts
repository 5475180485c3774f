/** The bodies of requests: how they are read piece by piece, and how they are closed at the end. */

/**
 * The body of a request: a text (sent as UTF-8), bytes, or an iterable of texts and bytes, such as one of Node's file
 * streams.
 */
export type Body = string | Uint8Array | Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>;

/** Reads the body of a request in pieces that are so small that each is sent within about one block limit. */
export class Source {
  readonly #body: Exclude<Body, string | Uint8Array>;
  #iterator: Iterator<unknown> | AsyncIterator<unknown> | undefined;
  #rest: Uint8Array = new Uint8Array(0);
  #isOver = false;

  /** @throws {TypeError} when `body` is not a {@link Body}. */
  constructor(body: Body = []) {
    if (!isBody(body)) throw new TypeError('a body is a text, bytes, or an iterable of them');
    this.#body = isWhole(body) ? [body] : body;
  }

  /** @returns the next bytes, or `undefined` at the end. */
  async next(): Promise<Uint8Array | undefined> {
    while (this.#rest.length === 0) {
      const chunk = await this.#nextChunk();
      if (chunk === undefined) return undefined;
      this.#rest = chunk;
    }
    const piece = this.#rest.subarray(0, PIECE_BYTES);
    this.#rest = this.#rest.subarray(PIECE_BYTES);
    return piece;
  }

  /**
   * Destroys the stream or ends the iterator that the body comes from, unless it has ended or failed by itself. A
   * generator that is just producing a chunk ends after that chunk.
   */
  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { destroy } = this.#body as { destroy?: unknown };
    if (typeof destroy === 'function') destroy.call(this.#body);
    else void this.#return().catch(() => undefined);
  }

  async #nextChunk(): Promise<Uint8Array | undefined> {
    this.#iterator ??=
      Symbol.asyncIterator in this.#body ? this.#body[Symbol.asyncIterator]() : this.#body[Symbol.iterator]();
    let result: IteratorResult<unknown> | undefined;
    try {
      result = await this.#iterator.next();
    } finally {
      // An iterator that throws has ended by itself.
      if (result === undefined || result.done === true) this.#isOver = true;
    }
    if (this.#isOver) return undefined;
    const chunk: unknown = await result.value;
    if (typeof chunk === 'string') return Buffer.from(chunk);
    if (!(chunk instanceof Uint8Array))
      throw new TypeError(`a body consists of bytes or texts, not of ${typeof chunk}s`);
    return chunk;
  }

  /** A body of which nothing was read needs to be closed only if it is an iterator itself, as generators are. */
  async #return(): Promise<void> {
    await (this.#iterator ?? (this.#body as Partial<Iterator<unknown>>)).return?.();
  }
}

/** Whether `body` is a text, bytes or an iterable. What an iterable yields is not checked. */
export function isBody(body: unknown): body is Body {
  return (
    typeof body === 'string' ||
    (typeof body === 'object' && body !== null && (Symbol.asyncIterator in body || Symbol.iterator in body))
  );
}

/** Whether the body is a single text or byte array, so that its length is known. */
export function isWhole(body: Body): body is string | Uint8Array {
  return typeof body === 'string' || body instanceof Uint8Array;
}

const PIECE_BYTES = 64 * 1024;
