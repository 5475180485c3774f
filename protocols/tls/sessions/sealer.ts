/** Encrypts and authenticates values that are stored where others can read and write them. */

import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';

import { VALUE_AT_MOST } from '../../stores/store.ts';

/**
 * Seals (encrypts and authenticates) values for one purpose with AES-256-GCM. A value opens only with the same secret,
 * for the same purpose, and for the same place: the id or key under which it is stored.
 */
export class Sealer {
  readonly #sealing: Buffer;
  readonly #naming: Buffer;
  #closed = false;

  /**
   * @param secret 32 bytes.
   * @param purpose what is sealed: different purposes derive different keys from the secret.
   * @param what the name of the secret in the error.
   * @throws {RangeError} when the secret does not have 32 bytes.
   */
  constructor(secret: Uint8Array, purpose: string, what = 'the key') {
    if (secret.length !== 32) throw new RangeError(`${what} must have 32 bytes, not ${String(secret.length)}`);
    this.#sealing = createHmac('sha256', secret).update(`wantio ${purpose}: sealing`).digest();
    this.#naming = createHmac('sha256', secret).update(`wantio ${purpose}: naming`).digest();
  }

  /**
   * Seals the concatenated parts for `place`.
   * @returns a version, a nonce, the encrypted bytes and a tag.
   */
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

  /** Opens a value that {@link seal} made for `place`; `undefined` for any other value, and after {@link close}. */
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

  /** @returns a name of 32 bytes for `text`. Only holders of the secret can make it or recognise it. */
  name(text: string | Uint8Array): Buffer {
    return createHmac('sha256', this.#naming).update(text).digest();
  }

  /** Wipes the keys. Do not call `seal` or `name` afterwards: they would use keys of zeros. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#sealing.fill(0);
    this.#naming.fill(0);
  }
}

const VERSION = Buffer.from([1]);
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
