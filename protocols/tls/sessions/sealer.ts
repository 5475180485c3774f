/** Seals what is kept where others can read and write it. */

import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';

import { VALUE_AT_MOST } from '../../stores/store.ts';

/**
 * Seals for one purpose with AES-256-GCM. What was sealed for another purpose, with another secret or for another place
 * does not open.
 */
export class Sealer {
  readonly #sealing: Buffer;
  readonly #naming: Buffer;
  #closed = false;

  /**
   * @param secret 32 bytes.
   * @param what how the secret is called where it comes from, for the error.
   * @throws {RangeError} when it has not 32 bytes.
   */
  constructor(secret: Uint8Array, purpose: string, what = 'the key') {
    if (secret.length !== 32) throw new RangeError(`${what} has 32 bytes, not ${String(secret.length)}`);
    this.#sealing = createHmac('sha256', secret).update(`wantio ${purpose}: sealing`).digest();
    this.#naming = createHmac('sha256', secret).update(`wantio ${purpose}: naming`).digest();
  }

  /** Seals the parts, one behind the other, for `place`: a version, a nonce, the sealed bytes, a tag. */
  seal(place: string | Uint8Array, ...parts: readonly Uint8Array[]): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#sealing, nonce).setAAD(Buffer.from(place));
    return Buffer.concat([
      VERSION,
      nonce,
      ...parts.map((part) => cipher.update(part)),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
  }

  /** Opens what {@link seal} made for `place`; `undefined` for anything else, and once it is closed. */
  open(place: string | Uint8Array, value: unknown): Buffer | undefined {
    if (
      this.#closed ||
      !(value instanceof Uint8Array) ||
      value.length < 1 + NONCE_BYTES + TAG_BYTES ||
      value.length > VALUE_AT_MOST ||
      value[0] !== VERSION[0]
    )
      return undefined;
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#sealing, bytes.subarray(1, 1 + NONCE_BYTES))
        .setAAD(Buffer.from(place))
        .setAuthTag(bytes.subarray(-TAG_BYTES));
      return Buffer.concat([decipher.update(bytes.subarray(1 + NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
    } catch {
      return undefined;
    }
  }

  /** 32 bytes that stand for `text`, and that nobody without the secret can tell or make. */
  name(text: string | Uint8Array): Buffer {
    return createHmac('sha256', this.#naming).update(text).digest();
  }

  /** Wipes the keys. What would be sealed or named after that would be so for everybody. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#sealing.fill(0);
    this.#naming.fill(0);
  }
}

const VERSION = Buffer.from([1]);
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
