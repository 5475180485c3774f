/** The state that all answers of one connection share. */

import type { ContextSettings } from '../context/settings.ts';
import type { Pointer } from '../openssl.ts';
import { isThenable } from '../thenable.ts';
import { TlsError } from '../tls-error.ts';
import type { Lookups } from './lookups.ts';

/** The settings of one connection, whether it waits for an answer, and its first failure. */
export class Exchange {
  readonly lookups: Lookups;
  /** Whether OpenSSL has reported something that the transport must act on. */
  hasNews = false;
  #settings: ContextSettings;
  #ssl: Pointer = 0;
  #isWaiting = false;
  #error: Error | undefined;

  constructor(settings: ContextSettings, lookups: Lookups) {
    this.#settings = settings;
    this.lookups = lookups;
  }

  get settings(): ContextSettings {
    return this.#settings;
  }

  /** The SSL object of the connection. */
  get ssl(): Pointer {
    return this.#ssl;
  }

  /** Whether the connection waits for an answer. */
  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  /** The failure on this side that ends the handshake or the connection. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** Begins with a new SSL object and the settings that apply to it. */
  begin(settings: ContextSettings, ssl: Pointer): void {
    this.#settings = settings;
    this.#ssl = ssl;
  }

  /** Records an error of an answer. Only the first failure counts. */
  failed(error: unknown): void {
    this.#error ??=
      error instanceof TlsError
        ? error
        : new TlsError(`handshake failed: ${error instanceof Error ? error.message : String(error)}`, {
            reason: 'refused by this side',
            cause: error,
          });
    this.hasNews = true;
  }

  /** Records a failure unchanged, whatever its type. Only the first failure counts. */
  endBy(error: Error): void {
    this.#error ??= error;
  }

  /** Calls `question`, and passes the answer to `note` or records the failure; at once, or when the Promise settles. */
  ask<T>(question: () => T | Promise<T>, what: string, note: (answer: T) => void): void {
    const fail = (error: unknown): void => {
      this.failed(
        error instanceof TlsError
          ? error
          : new TlsError(
              `handshake failed: ${what} failed: ${error instanceof Error ? error.message : String(error)}`,
              { reason: `${what} failed`, cause: error },
            ),
      );
    };
    try {
      const answer = question();
      if (!isThenable(answer)) {
        note(answer);
        return;
      }
      this.#isWaiting = true;
      answer
        .then(note)
        .catch(fail)
        .finally(() => {
          this.#isWaiting = false;
          this.lookups.wake();
        });
    } catch (error) {
      fail(error);
    }
  }
}
