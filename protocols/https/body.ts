/** Bodies of requests: where their bytes come from, and what is done with that at the end. */

/**
 * The body of a request: a text (sent as UTF-8), bytes, or where they come from piece by piece, such as a file stream
 * of Node's.
 */
export type Body = string | Uint8Array | Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>;

/** Where the body of a request comes from, in pieces of which each is sent within one block limit or so. */
export class Source {
  readonly #body: Exclude<Body, string | Uint8Array>;
  #iterator: Iterator<unknown> | AsyncIterator<unknown> | undefined;
  #rest: Uint8Array = new Uint8Array(0);
  #isOver = false;

  /** @throws {TypeError} when it is no body. */
  constructor(body: Body = []) {
    if (!isBody(body)) throw new TypeError('a body is a text, bytes, or what gives them when it is iterated');
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
   * Says that no more is wanted, unless it has come to its end. A generator that is asked for its next chunk hears of
   * it after that.
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
      // One that fails has ended by itself.
      if (result === undefined || result.done === true) this.#isOver = true;
    }
    if (this.#isOver) return undefined;
    const chunk: unknown = await result.value;
    if (typeof chunk === 'string') return Buffer.from(chunk);
    if (!(chunk instanceof Uint8Array))
      throw new TypeError(`a body consists of bytes or texts, not of ${typeof chunk}s`);
    return chunk;
  }

  /** What was not begun has something to close only if it is an iterator itself, as generators are. */
  async #return(): Promise<void> {
    await (this.#iterator ?? (this.#body as Partial<Iterator<unknown>>)).return?.();
  }
}

/** Whether its bytes can be had. */
export function isBody(body: unknown): body is Body {
  return (
    typeof body === 'string' ||
    (typeof body === 'object' && body !== null && (Symbol.asyncIterator in body || Symbol.iterator in body))
  );
}

/** Whether all of it is there, so that its length is known. */
export function isWhole(body: Body): body is string | Uint8Array {
  return typeof body === 'string' || body instanceof Uint8Array;
}

const PIECE_BYTES = 64 * 1024;
